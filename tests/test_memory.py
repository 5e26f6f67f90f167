"""A process that lives long keeps little of the memory that it has freed."""

import subprocess
import sys

import pytest

FREES_BLOCKS = """
import sys
from convergence_assets.memory import LARGE_BYTES, give_free_pages_back, give_large_blocks_back

def resident():
    with open("/proc/self/statm") as said:
        return int(said.read().split()[1]) * 4096

blocks, size, asked = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if "large" in asked:
    give_large_blocks_back()
usual = bytearray(31 * LARGE_BYTES)
del usual  # from now on malloc takes such sizes for usual ones
before = resident()
held = [(bytearray(size), bytearray(4096)) for _ in range(blocks)]
small = [small for _, small in held]
del held
if "pages" in asked:
    give_free_pages_back()
print((resident() - before) // LARGE_BYTES)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are functions of glibc")


def kept_megabytes(blocks: int, size: int, *asked: str) -> int:
    """Of 160 MB that are freed between small blocks that stay."""
    words = [sys.executable, "-c", FREES_BLOCKS, str(blocks), str(size), *asked]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def test_large_blocks_are_given_back_although_small_ones_beside_them_stay() -> None:
    assert kept_megabytes(20, 8 << 20, "large") < 20 < 100 < kept_megabytes(20, 8 << 20)


def test_free_pages_are_given_back_although_small_blocks_between_them_stay() -> None:
    assert kept_megabytes(640, 1 << 18, "pages") < 20 < 100 < kept_megabytes(640, 1 << 18)
