"""A disk that fails the platform: one sentence each, nothing published is lost, and what can be is made anew."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.control.keys import Keys
from convergence_assets.control.location import control_url
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore, backup_of
from convergence_assets.monitoring.monitor import BACKED_UP_EVERY
from convergence_assets.recovery.repairing import repair_control_store
from convergence_assets.recovery.state_files import StateFile, state_files
from tests import commands
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.unprivileged import as_anybody

pytestmark = pytest.mark.live

DAY, OTHER = date(2026, 3, 2), date(2026, 3, 3)
QUERY = ("query", "SELECT COUNT(*) AS n FROM acme.totals", "--csv")
RUN = ("run", "acme", "demo_costs", "--partition", str(OTHER))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A home with one published day."""
    project = Project.at(tmp_path_factory.mktemp("damage") / "home")
    project.load_bills([row for day in (DAY, OTHER) for row in hourly(day, "Europe/Berlin", 1.0)])
    done = convergence(project.settings.home, "run", "acme", "demo_costs", "--partition", str(DAY))
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def home(published: Project, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published.settings.home, tmp_path / "home"))


def environ(home: Path) -> dict[str, str]:
    own = {"CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS), "CONVERGENCE_WAREHOUSE": "embedded"}
    return clean_environment() | own


def convergence(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = commands.convergence(*words, environ=environ(home))
    assert "Traceback" not in done.stdout + done.stderr, done.stderr[-3000:]
    return done


def overwritten(file: Path, size: int = 5000) -> None:
    with file.open("r+b") as opened:
        opened.write(os.urandom(size))
    for beside in ("-wal", "-shm"):
        file.with_name(file.name + beside).unlink(missing_ok=True)


def one_line(text: str) -> str:
    return " ".join(text.split())


FILES = {
    "the control store": ("control.db", "control store"),
    "Dagster's runs": ("dagster/history/runs.db", "a file of Dagster's storage"),
    "Dagster's index of events": ("dagster/history/runs/index.db", "a file of Dagster's storage"),
    "Dagster's ticks": ("dagster/schedules/schedules.db", "a file of Dagster's storage"),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("what", FILES)
def test_a_damaged_file_of_the_platforms_state_is_named_and_made_anew(home: Path, what: str) -> None:
    path, content = FILES[what]
    file = home / path
    overwritten(file)
    assert convergence(home, "validate").returncode == 0, "it writes nothing, and needs nothing of it"
    assert "\n1" in convergence(home, *QUERY).stdout, "what is published is read without it"
    failed = convergence(home, *RUN)
    assert failed.returncode != 0
    assert f"{content} " in one_line(failed.stdout + failed.stderr)
    assert "convergence doctor --repair" in one_line(failed.stdout + failed.stderr)
    looked = convergence(home, "doctor")
    assert looked.returncode == 1
    assert f"{file} ({what}) is damaged" in one_line(looked.stdout)
    assert convergence(home, "doctor", "--repair").returncode == 1, "nobody is there to be asked"
    assert file.exists()
    repaired = convergence(home, "doctor", "--repair", "--yes")
    assert repaired.returncode == 0, repaired.stderr
    assert list(file.parent.glob(f"{file.name}.damaged-*"))
    assert convergence(home, *RUN).returncode == 0
    assert "\n2" in convergence(home, *QUERY).stdout


def days(home: Path) -> set[tuple[str, date]]:
    found = Publications(store_of(home)).between("acme", ["lines", "totals"], DAY, OTHER)
    return set(found)


def store_of(home: Path) -> ControlStore:
    return ControlStore(control_url(Project.at(home).settings, {}))


def test_a_control_store_made_anew_knows_what_is_published_and_asks_for_none_of_it_again(home: Path) -> None:
    before = days(home)
    assert before == {("lines", DAY), ("totals", DAY)}
    overwritten(home / "control.db")
    output = convergence(home, "doctor", "--repair", "--yes").stdout
    assert "there is no copy that can be read: an empty one is made" in output
    assert "2 published days of tables taken from Dagster's records" in output
    assert days(home) == before
    tables = {
        name: p for (name, _), p in Publications(store_of(home)).between("acme", ["lines", "totals"], DAY, DAY).items()
    }
    assert tables["lines"].version <= tables["totals"].read_through, "in the order in which they were published"


def test_the_copy_of_the_control_store_brings_back_keys_and_dagster_what_came_after_it(home: Path) -> None:
    store = store_of(home)
    made = Keys(store).create("acme", "ann")
    assert store.back_up(BACKED_UP_EVERY) == backup_of(home / "control.db")
    assert store.back_up(BACKED_UP_EVERY) is None, "it is not old yet"
    assert convergence(home, *RUN).returncode == 0
    overwritten(home / "control.db")
    output = convergence(home, "doctor", "--repair", "--yes").stdout
    assert "UTC brought back; what came after it is not in it" in output
    assert [key.key_id for key in Keys(store_of(home)).all("acme")] == [made.key_id]
    assert days(home) == {(table, day) for table in ("lines", "totals") for day in (DAY, OTHER)}


def test_a_repair_that_was_stopped_on_the_way_goes_on_with_the_next_call(home: Path) -> None:
    before = days(home)
    settings = Project.at(home).settings
    overwritten(home / "control.db")
    (damaged,) = (file for file in state_files(settings, home) if file.damage())
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        stopped = repair_control_store(settings, instance, damaged)
        for _ in range(2):
            next(stopped)
    assert days(home) == set()
    output = convergence(home, "doctor", "--repair", "--yes").stdout
    assert "the repair that was begun before goes on" in output
    assert days(home) == before
    assert "no file" in convergence(home, "doctor", "--repair", "--yes").stdout


def test_a_copy_that_comes_back_says_that_revoked_keys_came_with_it(home: Path) -> None:
    keys = Keys(store_of(home))
    key = keys.create("acme", "ann")
    store_of(home).back_up(BACKED_UP_EVERY)
    keys.revoke(key.key_id, "ann")
    overwritten(home / "control.db")
    output = convergence(home, "doctor", "--repair", "--yes").stdout
    assert "API keys that were revoked after it are valid again" in output


def test_nothing_is_made_anew_while_the_platform_runs(home: Path) -> None:
    overwritten(home / "control.db")
    words = [sys.executable, "-c", "import time; time.sleep(300)", "dagster-daemon"]
    running = subprocess.Popen(words, env=environ(home))
    try:
        done = convergence(home, "doctor", "--repair", "--yes")
        assert done.returncode == 1
        assert f"process {running.pid}: " in done.stderr
        assert [file.name for file in home.glob("control.db.damaged-*")] == []
    finally:
        running.kill()
        running.wait()


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    assert StateFile(tmp_path, "a file", "all").damage() is None


def test_what_sqlite_keeps_beside_a_damaged_file_is_moved_with_it(tmp_path: Path) -> None:
    file = tmp_path / "a?b.db"
    for ending in ("", "-wal", "-shm"):
        file.with_name(file.name + ending).write_bytes(b"no database at all" * 100)
    damaged = StateFile(file, "a file", "all")
    assert damaged.damage() == "file is not a database"
    aside = damaged.put_aside()
    assert sorted(found.name for found in tmp_path.iterdir()) == [aside.name + e for e in ("", "-shm", "-wal")]


@pytest.mark.parametrize("at", [0, 12_288])
def test_a_damaged_file_of_the_warehouse_is_found_and_is_no_passing_failure(home: Path, at: int) -> None:
    file = home / "warehouse" / "datasets" / "acme.duckdb"
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(os.urandom(40_000))
    failed = convergence(home, *QUERY)
    assert failed.returncode == 2
    assert "error: damaged: " in one_line(failed.stderr)
    looked = convergence(home, "doctor")
    assert f"{file} (dataset acme) is damaged" in one_line(looked.stdout)
    assert "move it aside" in one_line(looked.stdout)
    assert convergence(home, "doctor", "--repair", "--yes").returncode == 0, "nothing there that can be made anew"
    assert file.exists()


@pytest.fixture
def read_only(home: Path) -> Iterator[Path]:
    everything = [home, *home.rglob("*")]
    modes = {path: path.stat().st_mode for path in everything}
    for path in everything:
        path.chmod(modes[path] & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    yield home
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("validate",), 0, "fine: "),
        (QUERY, 0, "n 1"),
        (("status",), 2, "control.db cannot be written (Permission denied"),
        (RUN, 2, "cannot be written"),
        (("doctor",), 1, "cannot be written: Permission denied"),
    ],
)
def test_a_home_that_cannot_be_written_is_read_and_otherwise_named(
    read_only: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("convergence"), *words], env=environ(read_only), capture_output=True, text=True,
        preexec_fn=as_anybody, check=False,
    )  # fmt: skip
    text = one_line(done.stdout + done.stderr)
    assert (done.returncode, "Traceback" in text) == (code, False), text
    assert message in text


def fill_up(file: Path) -> None:
    with file.open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(bytes(4096))


def test_a_disk_that_is_full_when_a_run_starts_is_named_and_nothing_is_lost(home: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    size = sum(file.stat().st_size for file in home.rglob("*") if file.is_file()) // 1024 + 4096
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("only root makes a disk of its own size")
    try:
        full = Path(shutil.copytree(home, small / "home"))
        fill = small / "fill"
        fill_up(fill)
        failed = convergence(full, *RUN)
        assert failed.returncode != 0
        assert "Next: " in one_line(failed.stdout + failed.stderr)
        fill.unlink()
        assert convergence(full, *RUN).returncode == 0
        assert "\n2" in convergence(full, *QUERY).stdout
    finally:
        subprocess.run(["umount", small], check=True)
