"""A program that the tests start as anybody: they themselves may run as root, whom no file's mode stops."""

import ctypes


def as_anybody() -> None:
    """Root without its right to write where the mode forbids it, from the next program on."""
    drop_from_bounding_set, dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0)
