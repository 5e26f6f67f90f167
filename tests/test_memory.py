"""A process that lives long keeps little of the memory that it has freed."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from convergence_assets import definitions
from convergence_assets.dagster_internals import location_snapshots
from convergence_assets.memory import release_free_pages
from convergence_assets.settings import Settings

FREES_BLOCKS = """
import resource
import sys
from convergence_assets.memory import LARGE_BYTES, release_free_pages, release_large_blocks

def resident():
    with open("/proc/self/statm") as said:
        return int(said.read().split()[1]) * resource.getpagesize()

blocks, size, asked = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if "large" in asked:
    release_large_blocks()
usual = bytearray(31 * LARGE_BYTES)
del usual  # from now on malloc takes such sizes for usual ones
before = resident()
held = [(bytearray(size), bytearray(4096)) for _ in range(blocks)]
small = [small for _, small in held]
del held
if "pages" in asked:
    release_free_pages()
print((resident() - before) // LARGE_BYTES)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="these are functions of glibc")


def kept_megabytes(blocks: int, size: int, *arguments: str) -> int:
    """Of 160 MB that are freed between small blocks that stay."""
    words = [sys.executable, "-c", FREES_BLOCKS, str(blocks), str(size), *arguments]
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD"))}
    return int(subprocess.run(words, env=own, capture_output=True, text=True, check=True).stdout)


def test_large_blocks_are_given_back_although_small_ones_beside_them_stay() -> None:
    assert kept_megabytes(20, 8 << 20, "large") < 20 < 100 < kept_megabytes(20, 8 << 20)


def test_free_pages_are_given_back_although_small_blocks_between_them_stay() -> None:
    assert kept_megabytes(640, 1 << 18, "pages") < 20 < 100 < kept_megabytes(640, 1 << 18)


def test_a_code_server_gives_memory_back_from_its_start_and_whenever_its_snapshot_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr(location_snapshots, "is_code_server", lambda: True)
    monkeypatch.setattr(location_snapshots, "compile_records", lambda: None)
    monkeypatch.setattr(location_snapshots, "snapshot_once", called.append)
    monkeypatch.setattr(definitions, "release_large_blocks", lambda: called.append("large blocks"))
    variables = {"CONVERGENCE_HOME": str(tmp_path), "CONVERGENCE_TENANTS": str(tmp_path)}
    definitions._of_a_location(Settings.from_env(variables))
    assert called == ["large blocks", release_free_pages]
