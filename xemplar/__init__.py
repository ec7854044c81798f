"""Find past chest X-rays similar to a new one, and show why.

Read the modules in the order of the data::

    radiograph  ->  preprocess  ->  encoder   ->  index     ->  explain   ->  overlay
    bytes           tensor          Features      neighbours    evidence      pictures

`retriever` runs that whole line for one image; `checkpoint`, `findings`, `datasets`, `catalog`
and `phantom` are what it stands on. `Client` asks a service that runs elsewhere. Research use, not
for diagnosis.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("xemplar")
__all__ = ["Client", "__version__"]

if TYPE_CHECKING:
    from xemplar.api.client import Client
else:

    def __getattr__(name: str) -> Any:
        """Loads `Client` on first use, because nothing else here needs httpx2."""
        if name != "Client":
            raise AttributeError(f"module 'xemplar' has no attribute {name!r}")
        from xemplar.api.client import Client

        return Client
