"""How a process that lives long gives memory back to the system, where malloc is glibc's."""

import ctypes
from contextlib import suppress

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h
_NO_SUCH_FUNCTION = AttributeError, OSError, TypeError


def give_large_blocks_back() -> None:
    """Let blocks of `LARGE_BYTES` and more be the system's again as soon as they are freed, from now on.

    By itself malloc takes a size for usual once a block of it was freed (up to 32 MB), and keeps the next ones of that
    size between small ones that stay (`M_MMAP_THRESHOLD` in man 3 mallopt).
    """
    with suppress(*_NO_SUCH_FUNCTION):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def give_free_pages_back() -> None:
    """Give back what is free between blocks that stay, as it is now (man 3 malloc_trim)."""
    with suppress(*_NO_SUCH_FUNCTION):
        ctypes.CDLL(None).malloc_trim(0)
