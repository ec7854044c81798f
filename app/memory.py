"""Memory of large images goes back to the system when they have been answered."""

import ctypes

LARGE = 8 * 2**20
"""Bytes. An image at display size takes less, and the C library keeps that for the next one."""

_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of <malloc.h>."""


def give_back_large_pieces() -> None:
    """Have the C library map each large piece of memory for itself, and unmap it once it is free.

    glibc begins so, and raises its threshold to up to 32 MiB when a large piece is freed
    (mallopt(3)); from then on each thread keeps such pieces. A threshold that is set stays. Other C
    libraries have no such setting, and are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE)
