"""Dagster homes for tests, on the project's SQLite storage; their files are copies of empty ones made once a process."""

import atexit
import functools
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import dagster as dg

QUIET = "telemetry: {enabled: false}\n"
PRINTED_IS_NOT_KEPT = (
    "compute_logs: {module: dagster._core.storage.noop_compute_log_manager, class: NoOpComputeLogManager}\n"
)


def dagster_home(folder: Path, config: str = "") -> Path:
    """Make `folder` a home without runs. `config` is what its dagster.yaml says beside telemetry and storage; a storage
    that it names is used instead of the project's.
    """
    copy_storage(folder)
    storage = "" if "storage:" in config else _storage(folder)
    (folder / "dagster.yaml").write_text(f"{QUIET}{storage}{config}")
    return folder


def copy_storage(folder: Path) -> None:
    """The SQLite files of a home without runs: Dagster takes 0.8 CPU-seconds to make them, a copy 0.01."""
    shutil.copytree(_empty(), folder, dirs_exist_ok=True)


def dagster_at(folder: Path, config: str = "") -> dg.DagsterInstance:
    """An instance in a home of its own, without runs. What a run here prints goes to the test and is kept nowhere:
    Dagster starts two processes a step to keep it.
    """
    return dg.DagsterInstance.from_config(str(dagster_home(folder, f"{PRINTED_IS_NOT_KEPT}{config}")))


def run_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    """A run that is there, as it now is."""
    run = instance.get_run_by_id(run_id)
    assert run, run_id
    return run


def _storage(folder: Path) -> str:
    own = f"{{module: convergence_assets.dagster_instance, class: SqliteStorage, config: {{base_dir: {folder}}}}}"
    return f"storage: {{custom: {own}}}\n"


@functools.cache
def _empty() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="convergence-dagster-home-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home = folder / "home"
    home.mkdir()
    (folder / "dagster.yaml").write_text(f"{QUIET}{_storage(home)}")
    with dg.DagsterInstance.from_config(str(folder)):
        pass
    for file in home.rglob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home
