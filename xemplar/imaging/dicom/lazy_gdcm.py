"""Imports pydicom without GDCM, which it would load whether anything needs it or not.

GDCM's wheel offers its own zlib and OpenSSL to every library that is loaded later: Pillow then
corrupts its memory at the first PNG. So a stand-in takes its place while pydicom is imported. All
that pydicom asks of it is the version; whoever uses pydicom with GDCM in the same program gets the
real one at the first use.
"""

import sys
from functools import cache
from importlib import import_module, metadata
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    class Version:
        @staticmethod
        def GetVersion() -> str:  # noqa: N802 - as GDCM calls it
            return metadata.version("python-gdcm")

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get("gdcm") is self:
            # pydicom's older interface looks for DataElement, and can do without
            raise AttributeError(name)
        return getattr(import_module("gdcm"), name)


@cache
def import_pydicom() -> None:
    """Import pydicom; has no effect where the host program has imported it or GDCM before."""
    if "pydicom" in sys.modules or "gdcm" in sys.modules:
        return
    sys.modules["gdcm"] = _StandIn("gdcm")
    try:
        import_module("pydicom.pixels")
        import_module("pydicom.pixels.encoders")
    finally:
        del sys.modules["gdcm"]
