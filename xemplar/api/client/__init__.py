"""Python client of the service."""

from xemplar.errors import ConfigurationError

try:
    from xemplar.api.client.client import Client
except ModuleNotFoundError as error:
    if error.name != "httpx2":
        raise
    raise ConfigurationError(
        "xemplar.Client needs httpx2; install it with `pip install 'xemplar[client]'`"
    ) from error

__all__ = ["Client"]
