"""How a long-lived process returns memory to the system, where malloc is glibc's."""

import ctypes
from contextlib import suppress

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h
_NO_SUCH_FUNCTION = AttributeError, OSError, TypeError


def release_large_blocks() -> None:
    """Return blocks of `LARGE_BYTES` and more to the system as soon as they are freed, from now on.

    By default malloc raises its threshold to the size of a freed block (up to 32 MB), and then places such blocks
    between small ones that stay (`M_MMAP_THRESHOLD` in man 3 mallopt).
    """
    with suppress(*_NO_SUCH_FUNCTION):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def release_free_pages() -> None:
    """Return what is free between blocks that stay (man 3 malloc_trim)."""
    with suppress(*_NO_SUCH_FUNCTION):
        ctypes.CDLL(None).malloc_trim(0)
