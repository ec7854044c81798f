"""TLS of associations and web requests (PS3.15 B.9 asks for TLS 1.2 or newer)."""

import ssl

from xemplar.errors import ConfigurationError

from .settings import NodeSettings


def server_context(settings: NodeSettings) -> ssl.SSLContext | None:
    """Return what the node's port is encrypted with; None without a certificate.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    if settings.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, settings)
    if settings.trusted is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(settings: NodeSettings) -> ssl.SSLContext:
    """Return what connections to the archive are encrypted with.

    Raises:
        ConfigurationError: a file cannot be used.
    """
    context = ssl.create_default_context() if settings.trusted is None else _bare_client()
    _load(context, settings)
    return context


def _bare_client() -> ssl.SSLContext:
    """Return a context that trusts nobody yet, and checks names."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _load(context: ssl.SSLContext, settings: NodeSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.private_key)
        if settings.trusted is not None:
            context.load_verify_locations(settings.trusted)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "the node's TLS files cannot be used (XEMPLAR_PACS_CERTIFICATE, _PRIVATE_KEY, "
            f"_TRUSTED): {type(error).__name__}; name PEM files that this user may read, and a "
            "private key without a passphrase that belongs to the certificate"
        ) from error
