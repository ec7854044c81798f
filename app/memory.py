"""Memory of the service: what is given back to the system, and what garbage collection skips."""

import ctypes
import gc

LARGE = 8 * 2**20
"""Size in bytes from which memory is returned; smaller blocks are kept for the next image."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>."""


def give_back_large_pieces() -> None:
    """Make the C library map each large block separately, and unmap it once it is freed.

    This is glibc's default, but it raises its threshold to up to 32 MiB whenever a large block is
    freed (mallopt(3)), and threads then keep such blocks. Setting the threshold fixes it. Each
    thread keeps up to as much of its smaller blocks: by default 128 KiB, so that each picture of a
    megapixel would be given back and asked for anew several times in a query. Other C libraries
    have no such settings and are left unchanged.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE)
        mallopt(_TRIM_THRESHOLD, LARGE)


def freeze_loaded_objects() -> None:
    """Leave all objects that exist now out of garbage collection.

    They are modules and files that a service keeps until it stops. A full collection walks all of
    them (`gc.freeze`), and queries set one off every few times.
    """
    gc.collect()
    gc.freeze()
