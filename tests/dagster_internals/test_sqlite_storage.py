"""Dagster's SQLite storage with its connections kept: the same files, the same answers, whoever is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import sqlalchemy as sa
from dagster._core.events import StepMaterializationData
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convergence_assets.dagster_internals import sqlite_storage
from convergence_assets.dagster_internals.sqlite_storage import SqliteStorage
from tests.dagster_homes import copy_storage
from tests.examples import examples

OURS = "storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage, config: {base_dir: %s}}}"
KEYS = [dg.AssetKey(["acme", "demo", table]) for table in ("lines", "totals")]


def instance(home: Path, *, ours: bool) -> dg.DagsterInstance:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n" + (OURS % home if ours else ""))
    return dg.DagsterInstance.from_config(str(home))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path / "dagster"


@dg.asset(
    key=KEYS[0], partitions_def=dg.DailyPartitionsDefinition("2026-10-01"),
    check_specs=[dg.AssetCheckSpec("rows", asset=KEYS[0])],
)  # fmt: skip
def lines(context: dg.AssetExecutionContext) -> Iterator[Any]:
    yield dg.AssetCheckResult(passed=context.partition_key != "2026-10-02", severity=dg.AssetCheckSeverity.WARN)
    if context.partition_key == "2026-10-03":
        raise dg.Failure("the source was away")
    yield dg.MaterializeResult(metadata={"rows": 3})


@dg.asset(key=KEYS[1], deps=[KEYS[0]], partitions_def=dg.DailyPartitionsDefinition("2026-10-01"))
def totals() -> None:
    return None


def run(using: dg.DagsterInstance, day: str) -> str:
    return dg.materialize([lines, totals], instance=using, partition_key=day, raise_on_error=False).run_id


def seen(using: dg.DagsterInstance) -> dict[str, Any]:
    """What the instance answers, without what differs from run to run."""
    runs = [using.get_run_by_id(run_id) for run_id in reversed(using.get_run_ids())]
    found: dict[str, Any] = {"runs": [(r.status, sorted(r.tags.items())) for r in runs if r]}
    found["events"] = [
        [(record.storage_id, record.event_log_entry.get_dagster_event().event_type_value, record.event_log_entry.step_key)
         for record in using.get_records_for_run(r.run_id, limit=1000).records if record.event_log_entry.is_dagster_event]
        for r in runs if r
    ]  # fmt: skip
    for key in KEYS:
        materialized = using.fetch_materializations(key, limit=100).records
        found[key.to_user_string()] = [(m.storage_id, m.partition_key) for m in materialized]
        found[f"{key.to_user_string()} partitions"] = sorted(using.get_materialized_partitions(key))
    checks = using.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(KEYS[0], "rows"), limit=100)
    found["checks"] = [(check.id, check.status, check.partition) for check in checks]
    found["all assets"] = sorted(key.to_user_string() for key in using.all_asset_keys())
    return found


@pytest.mark.property
@settings(max_examples=examples(2), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.sampled_from(["2026-10-01", "2026-10-02", "2026-10-03"]), min_size=1, max_size=4),
    turns=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_any_runs_written_by_either_storage_in_any_turn_are_read_alike_by_both(
    days: list[str], turns: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / uuid.uuid4().hex
    mixed, plain = folder.with_suffix(".mixed"), folder.with_suffix(".plain")
    for home in (mixed, plain):
        copy_storage(home)
    for day, ours in zip(days, turns, strict=False):
        with instance(mixed, ours=ours) as using, monkeypatch.context() as of_ours:
            if ours:
                of_ours.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
            run(using, day)
        with instance(plain, ours=False) as using:
            run(using, day)
    answers = []
    for home, ours in ((mixed, True), (mixed, False), (plain, False)):
        with instance(home, ours=ours) as using:
            answers.append(seen(using))
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]["runs"]) == len(days)


WRITER = """
import sys
import dagster as dg

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    for number in range(100_000):
        instance.report_runless_asset_event(dg.AssetMaterialization("a", metadata={"number": number}))
        print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 17, 60])
def test_of_a_killed_process_dagster_reads_every_event_that_was_acknowledged_and_at_most_one_more(
    home: Path, after: int
) -> None:
    with instance(home, ours=True):
        pass
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(home)], stdout=subprocess.PIPE)
    assert writer.stdout
    acknowledged = [int(writer.stdout.readline()) for _ in range(after)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    writer.wait()
    with instance(home, ours=False) as using:
        kept = using.fetch_materializations(dg.AssetKey("a"), limit=10_000, ascending=True).records
        numbers = [
            record.asset_materialization.metadata["number"].value for record in kept if record.asset_materialization
        ]
        assert numbers[: len(acknowledged)] == acknowledged
        assert len(numbers) <= len(acknowledged) + 1
        using.report_runless_asset_event(dg.AssetMaterialization("a"))  # nobody holds a lock on the file


def tables_of(file: Path) -> tuple[Any, ...]:
    with closing(sqlite3.connect(file)) as connection:
        definitions = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        versions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return definitions, versions, connection.execute("PRAGMA journal_mode").fetchone()


def test_the_file_of_a_run_is_what_dagster_makes_it(home: Path, tmp_path: Path) -> None:
    with instance(home, ours=True) as using:
        own_runs = [run(using, "2026-10-01") for _ in range(2)]
    with instance(tmp_path / "plain", ours=False) as using:
        theirs = run(using, "2026-10-01")
    files = [home / "history" / "runs" / f"{run_id}.db" for run_id in own_runs]
    expected = tables_of(tmp_path / "plain" / "history" / "runs" / f"{theirs}.db")
    assert [tables_of(file) for file in files] == [expected, expected]
    assert {entry.name for entry in (home / "history" / "runs").iterdir()} == {"index.db", *(f.name for f in files)}


@pytest.mark.parametrize("has_a_header", [False, True])
def test_a_file_of_a_run_that_somebody_left_unmade_is_made(home: Path, has_a_header: bool) -> None:
    with instance(home, ours=True) as using:
        run_id = uuid.uuid4().hex
        file = home / "history" / "runs" / f"{run_id}.db"
        file.touch()
        if has_a_header:
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        using.create_run_for_job(dg.job(name="nothing")(lambda: None), run_id=run_id)
        using.report_engine_event("said", run_id=run_id, job_name="nothing")
        assert [record.event_log_entry.message for record in using.get_records_for_run(run_id).records] == ["said"]


def materialized(run_id: str, *names: str) -> list[dg.EventLogEntry]:
    return [
        dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None, level=20, user_message="", run_id=run_id, timestamp=1.0, job_name="j",
            dagster_event=dg.DagsterEvent(
                dg.DagsterEventType.ASSET_MATERIALIZATION.value, "j",
                event_specific_data=StepMaterializationData(dg.AssetMaterialization(name)),
            ),
        )
        for name in names
    ]  # fmt: skip


def test_events_of_a_batch_are_written_all_or_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance(home, ours=True) as using:
        storage, run_id = using.event_log_storage, uuid.uuid4().hex
        assert isinstance(storage, SqlEventLogStorage)
        stored = type(storage)._store_asset_event

        def failing(this: Any, connection: Any, event: dg.EventLogEntry, event_id: int) -> None:
            stored(this, connection, event, event_id)
            if event.get_dagster_event().asset_key == dg.AssetKey("third"):
                raise OSError("no space left on device")

        def there() -> tuple[int, int]:
            found = sum(len(using.fetch_materializations(k, limit=9).records) for k in using.all_asset_keys())
            return len(storage.get_records_for_run(run_id).records), found

        monkeypatch.setattr(type(storage), "_store_asset_event", failing)
        events = materialized(run_id, "first", "second", "third")
        with pytest.raises(OSError, match="no space"):
            storage.store_event_batch(events)
        assert there() == (0, 0)
        with pytest.raises(OSError, match="no space"):
            storage.store_event(events[2])
        assert there() == (0, 0)
        storage.store_event_batch(events[:2])
        assert there() == (2, 2)


def test_batches_of_nothing_and_of_several_runs_are_stored_as_one_by_one(home: Path) -> None:
    with instance(home, ours=True) as using:
        storage, (one, other) = using.event_log_storage, (uuid.uuid4().hex, uuid.uuid4().hex)
        storage.store_event_batch([])
        storage.store_event_batch([*materialized(one, "a"), *materialized(other, "b"), *materialized(one, "c")])
        found = [[r.event_log_entry.get_dagster_event().asset_key for r in storage.get_records_for_run(run_id).records]
                 for run_id in (one, other)]  # fmt: skip
        assert found == [[dg.AssetKey("a"), dg.AssetKey("c")], [dg.AssetKey("b")]]


def test_who_watches_a_run_hears_of_its_events_while_its_worker_keeps_the_file(home: Path) -> None:
    with instance(home, ours=True) as worker, instance(home, ours=True) as webserver:
        run_id, heard = uuid.uuid4().hex, []
        webserver.watch_event_logs(run_id, None, lambda event, _: heard.append(event.get_dagster_event().asset_key))
        for number, name in enumerate(("a", "b", "c"), start=1):
            worker.event_log_storage.store_event_batch(materialized(run_id, name))
            deadline = time.monotonic() + 10
            while len(heard) < number:
                assert time.monotonic() < deadline, f"{name} was not heard of"
                time.sleep(0.01)
        assert heard == [dg.AssetKey(name) for name in ("a", "b", "c")]


def test_runs_are_on_the_disk_when_they_are_said_to_be_and_events_soon(home: Path) -> None:
    full, normal = 2, 1  # as SQLite numbers them
    with instance(home, ours=True) as using:
        run_id = run(using, "2026-10-01")
        log = using.event_log_storage
        assert isinstance(log, SqliteEventLogStorage)
        assert isinstance(using.run_storage, SqliteRunStorage)
        query = sa.text("PRAGMA synchronous")
        with log.run_connection(run_id) as of_run:
            assert of_run.execute(query).scalar() == normal
        with log.index_connection() as of_index, using.run_storage.connect() as of_runs:
            assert (of_index.execute(query).scalar(), of_runs.execute(query).scalar()) == (normal, full)


def test_threads_that_write_at_once_lose_nothing(home: Path) -> None:
    with instance(home, ours=True) as using:

        def write(number: int) -> None:
            for _ in range(20):
                using.report_runless_asset_event(dg.AssetMaterialization(["by", str(number)]))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in range(8):
            assert len(using.fetch_materializations(dg.AssetKey(["by", str(number)]), limit=100).records) == 20


def opened(folder: Path) -> set[str]:
    """Databases below it that this process has open."""
    files = {file.path for file in psutil.Process().open_files()}
    return {path for path in files if path.startswith(str(folder)) and path.endswith(".db")}


def test_files_of_many_runs_do_not_stay_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = 4
    monkeypatch.setattr(sqlite_storage, "KEPT_RUNS", kept)
    with instance(home, ours=True) as using:
        run_ids = [run(using, "2026-10-01") for _ in range(kept + 6)]
        for run_id in run_ids:
            assert using.get_records_for_run(run_id).records
        assert len(opened(home / "history" / "runs")) <= kept + 1
    assert not opened(home / "history")
    # Nothing is left for the next process to recover.
    assert not list((home / "history").rglob("*-wal"))


def test_a_wipe_by_another_process_is_followed(home: Path) -> None:
    with instance(home, ours=True) as using:
        first = run(using, "2026-10-01")
        other = [sys.executable, "-c", "import dagster as dg; dg.DagsterInstance.get().wipe()"]
        subprocess.run(other, check=True, env=os.environ | {"DAGSTER_HOME": str(home)})
        assert not using.get_run_ids()
        assert not using.get_records_for_run(first).records
        second = run(using, "2026-10-01")
        assert using.get_records_for_run(second).records
        assert len(using.fetch_materializations(KEYS[0], limit=10).records) == 1


def test_a_forked_child_opens_connections_of_its_own(home: Path) -> None:
    with instance(home, ours=True) as using:
        run(using, "2026-10-01")
        child = os.fork()
        if child == 0:
            try:
                run(using, "2026-10-02")
                os._exit(0)
            except BaseException:
                os._exit(1)
        run(using, "2026-10-03")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(using.get_run_ids()) == 3
        assert len(using.get_materialized_partitions(KEYS[0])) == 2


def test_without_a_base_dir_the_files_are_dagster_homes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage}}\n"
    )
    with dg.DagsterInstance.get() as using:
        run(using, "2026-10-01")
        assert isinstance(using.get_ref().storage, SqliteStorage)
    with instance(home, ours=False) as using:
        assert isinstance(using.get_ref().storage, DagsterSqliteStorage)
        assert len(using.get_run_ids()) == 1
