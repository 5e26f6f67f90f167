"""A process that lives long keeps no large block that it has freed."""

import subprocess
import sys

import pytest

FREES_LARGE_BLOCKS = """
import sys
from convergence_assets.memory import LARGE_BYTES, give_large_blocks_back

def resident():
    with open("/proc/self/statm") as said:
        return int(said.read().split()[1]) * 4096

if sys.argv[1] == "given back":
    give_large_blocks_back()
usual = bytearray(31 * LARGE_BYTES)
del usual  # from now on malloc takes such sizes for usual ones
before = resident()
held = [(bytearray(8 * LARGE_BYTES), bytearray(LARGE_BYTES // 2)) for _ in range(20)]
small = [small for _, small in held]
del held
print((resident() - before) // LARGE_BYTES)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc alone has the setting")
def test_large_blocks_are_given_back_although_small_ones_beside_them_stay() -> None:
    def kept(mode: str) -> int:
        said = subprocess.run(
            [sys.executable, "-c", FREES_LARGE_BLOCKS, mode], capture_output=True, text=True, check=True
        )
        return int(said.stdout)

    assert kept("given back") < 20 < 100 < kept("left alone")
