"""What is changed in Dagster is listed with its reason, is made for one version, and can be switched off."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from convergence_assets.dagster_internals import instance_parts, patches
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_at

ROOT = Path(__file__).parents[2]
PRINT_PATCHED = """
import json, sys
import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.definitions import instigation_logger
from dagster._grpc import server
from dagster._grpc.client import DagsterGrpcClient
import convergence_assets.definitions
from convergence_assets.dagster_internals import instance_parts, location_snapshots
targets = {
    "console_loggers_are": lambda: (dg.colored_console_logger._logger_fn, instigation_logger.create_console_logger),
    "snapshot_once": lambda: server.DagsterApiServer.StreamingExternalRepository,
    "snapshots_in_pieces": lambda: DagsterGrpcClient.external_repository,
    "kept_as_long_as_their_server": lambda: WorkspaceProcessContext._load_location,
}
before = {name: target() for name, target in targets.items()}
instance_parts.console_loggers_are(None, None)
location_snapshots.snapshot_once(lambda: None)
location_snapshots.snapshots_in_pieces()
location_snapshots.kept_as_long_as_their_server()
print(json.dumps(sorted(name for name, target in targets.items() if target() != before[name])))
"""
LOG_A_SECRET = """
import sys
import dagster as dg
from convergence_assets.dagster_internals import instance
sys.argv = ["dagster"]
instance.set_up_logs()

@dg.asset
def lines(context):
    try:
        raise ValueError("postgresql://user:hunter2@host/db")
    except ValueError:
        context.log.warning("cannot open %s", "postgresql://u:hunter3@host", exc_info=True)

dg.materialize([lines])
"""


def patched(switch: str) -> list[str]:
    """The patches that a process with this value of the switch applies."""
    environ = clean_environment() | {patches.SWITCH: switch}
    ended = subprocess.run(
        [sys.executable, "-c", PRINT_PATCHED], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    return list(json.loads(ended.stdout.splitlines()[-1]))


def test_each_patch_has_a_reason_and_says_what_dagsters_developers_say_of_it() -> None:
    assert instance_parts.keep_connections.__name__ in patches.PATCHES
    assert set(patches.PATCHES) == {
        "console_loggers_are", "keep_connections", "snapshot_once", "snapshots_in_pieces",
        "kept_as_long_as_their_server", "wait_for_kubernetes",
    }  # fmt: skip
    for one in patches.PATCHES.values():
        assert len(one.reason.split()) > 5
        assert one.upstream == "none" or one.upstream.startswith("https://github.com/dagster-io/dagster/")


def test_a_process_changes_dagster_unless_patches_are_off() -> None:
    assert patched("") == [
        "console_loggers_are", "kept_as_long_as_their_server", "snapshot_once", "snapshots_in_pieces"
    ]  # fmt: skip
    assert patched("off") == patched("OFF") == []


def test_the_installed_version_is_the_one_that_patches_are_made_for() -> None:
    assert importlib.metadata.version("dagster").startswith(f"{patches.MADE_FOR}.")


def test_another_version_is_left_as_it_is_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dg, "__version__", "1.14.0")
    patches._warn_of_version.cache_clear()
    for _ in range(2):
        assert patches.why_off() == "they are made for Dagster 1.13, and this is 1.14.0"
    assert [record.getMessage() for record in caplog.records] == [
        "Dagster is 1.14.0: the patches made for 1.13 are left out"
    ]


def test_with_patches_off_the_storage_is_dagsters_own_and_reads_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dagster_at(tmp_path) as ours:
        run = ours.create_run_for_job(dg.job(name="nothing")(lambda: None))
        file = (tmp_path / "dagster.yaml").read_text()
    assert "dagster_instance, class: SqliteStorage" in file
    monkeypatch.setenv(patches.SWITCH, "off")
    with dg.DagsterInstance.from_config(str(tmp_path)) as theirs:
        assert type(theirs.event_log_storage) is SqliteEventLogStorage
        assert theirs.has_run(run.run_id)


@pytest.mark.parametrize("switch", ["", "off"])
def test_no_secret_gets_into_the_console_log_of_a_run(switch: str) -> None:
    environ = clean_environment() | {patches.SWITCH: switch}
    ended = subprocess.run(
        [sys.executable, "-c", LOG_A_SECRET], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    output = ended.stdout + ended.stderr
    assert "cannot open" in output
    assert "ValueError" in output
    assert "hunter" not in output


def test_an_instance_that_is_opened_again_and_again_redacts_once() -> None:
    again = LOG_A_SECRET.replace("instance.set_up_logs()", "[instance.set_up_logs() for _ in range(2000)]")
    environ = clean_environment() | {patches.SWITCH: "off"}
    ended = subprocess.run(
        [sys.executable, "-c", again], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "RecursionError" not in ended.stderr
