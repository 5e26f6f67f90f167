"""An upgrade and a rollback that are killed before and after every durable effect, while a reader loops."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from convergence_assets.tenant_lifecycle.rolling_back import roll_back
from convergence_assets.warehouse.duckdb.engine import Engine
from tests import commands
from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import columns, is_upgraded, opened, recorded, rename, requested, total, upgrade

_WRITES = ("CREATE", "DROP", "ALTER", "INSERT", "DELETE", "COMMENT", "COMMIT", "UPDATE")


def _numbered(effect: Callable[[], None]) -> None:
    """Call `effect` before each statement that writes, and before each commit of the control store."""
    run, write = Engine.run, ControlStore.write

    def counted(self: Engine, sql: str, *arguments: object, **named: object) -> object:
        if sql.lstrip().upper().startswith(_WRITES):
            effect()
        return run(self, sql, *arguments, **named)  # type: ignore[arg-type]

    @contextmanager
    def committed(self: ControlStore, key: str | None = None) -> Iterator[sa.Connection]:
        with write(self, key) as connection:
            yield connection
            effect()

    Engine.run, ControlStore.write = counted, committed  # type: ignore[method-assign,assignment]


def _work(fleet: Fleet, command: str) -> None:
    if command == "--apply":
        with opened(fleet) as (work, found):
            work.apply(found)
        return
    with opened(fleet, "lines") as (work, found):
        roll_back(work, found)


def _count(fleet: Fleet, command: str, file: Path) -> None:
    os.environ |= fleet.variables
    count = [0]

    def effect() -> None:
        count[0] += 1

    _numbered(effect)
    _work(fleet, command)
    file.write_text(str(count[0]))


def _killed_before(fleet: Fleet, command: str, number: int) -> None:
    os.environ |= fleet.variables
    count = [0]

    def effect() -> None:
        count[0] += 1
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    _numbered(effect)
    _work(fleet, command)


def _copied(fleet: Fleet, folder: Path) -> Fleet:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(fleet.folder, folder, symlinks=True)
    return Fleet(folder)


@contextmanager
def _reader(fleet: Fleet) -> Iterator[set[tuple[str, int, object]]]:
    """What a reader in a loop sees: which columns, how many rows, and their cost."""
    seen: set[tuple[str, int, object]] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            rows = fleet.read("SELECT * FROM acme.lines")
            seen.add(("area" if "area" in rows[0] else "region", len(rows), sum(row["cost"] for row in rows)))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield seen
    finally:
        ended.set()
        reader.join()


def _ended(function: Callable[..., None], *arguments: object) -> int | None:
    process = commands.forked(function, *arguments)
    process.join(60)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("command", ["--apply", "--rollback"])
def test_killed_at_any_effect_a_reader_sees_one_version_whole_and_it_goes_on(
    fleet: Fleet, tmp_path: Path, command: str, every: int
) -> None:
    figures = total(fleet)
    rename(fleet)
    if command == "--rollback":
        assert upgrade(fleet, "--apply")[0] == 0
        fleet.publish("acme", days=(DAYS[1], DAYS[1]))
    assert _ended(_count, _copied(fleet, tmp_path / "copy"), command, tmp_path / "count") == 0
    effects = int((tmp_path / "count").read_text())
    assert effects > 5
    for number in range(1, effects + 2, every):
        one = _copied(fleet, tmp_path / "copy")
        with _reader(one) as seen:
            assert _ended(_killed_before, one, command, number) == (-signal.SIGKILL if number <= effects else 0)
            if "area" not in columns(one):
                assert recorded(one).keys() >= {DAYS[0], DAYS[2]}
            if command == "--apply" or number <= effects:
                _work(one, command)
        assert {(n, cost) for _, n, cost in seen} == {figures}, (number, seen)
        if command == "--apply":
            assert is_upgraded(one), number
            assert total(one, "lines__v1") == figures
            assert recorded(one, "lines__v1").keys() == set(DAYS)
        else:
            assert "region" in columns(one), number
            assert recorded(one).keys() == {DAYS[0], DAYS[2]}
            assert recorded(one, "lines__v1") == {}
            assert requested(one).keys() == {DAYS[1]}
        assert one.staged() == [] or number <= effects
