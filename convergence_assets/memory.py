"""How a process that lives long gives memory back."""

import ctypes
from contextlib import suppress

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3  # malloc.h


def give_large_blocks_back() -> None:
    """Let blocks of `LARGE_BYTES` and more be the system's again as soon as they are freed, where malloc is glibc's.

    By itself it takes a size for usual once a block of it was freed (up to 32 MB), and keeps the next ones of that size
    between small ones that stay (`M_MMAP_THRESHOLD` in man 3 mallopt).
    """
    with suppress(AttributeError, OSError, TypeError):  # another libc has no such function
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
