"""Former address of `xemplar.imaging`, for scripts outside this repository.

Goes with the first release.
"""

from xemplar.imaging import Radiograph, decode

__all__ = ["Radiograph", "decode"]
