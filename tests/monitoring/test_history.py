"""What is old is removed, and every partition and check is afterwards as it was before."""

import os
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable, SnapshotsTable

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import history as kept
from convergence_assets.control import run_cursors, runs
from convergence_assets.control.location import control_url
from convergence_assets.control.store import ControlStore
from convergence_assets.dagster_internals import history as dagster_history
from convergence_assets.dagster_internals import snapshots as dagster_snapshots
from convergence_assets.dagster_internals.history import DagsterHistory
from convergence_assets.ledger.tables import LOGS, TABLES
from convergence_assets.monitoring.history import EVERY, History
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import TableRef
from tests.assets.project import Project
from tests.dagster_homes import dagster_at
from tests.monitoring.partition_states import partition_states
from tests.monitoring.watched import Watched
from tests.postgres.postgres_server import Postgres

DAILY = dg.DailyPartitionsDefinition("2026-03-01", end_date="2026-03-08")
DAYS = list(DAILY.get_partition_keys())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    IN_ONE_RUN = dg.BackfillPolicy.single_run()
KEYS = [dg.AssetKey(["acme", "demo", name]) for name in ("lines", "totals")]
CHECKS = [dg.AssetCheckKey(key, name) for key in KEYS for name in ("rows", "cost")]


def quiet(make: Any) -> Any:
    """Without what Dagster warns of: backfill policies are in beta."""

    def made(*arguments: Any, **named: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(*arguments, **named)

    return made


def table(key: dg.AssetKey, outcome: dict[str, str]) -> dg.AssetsDefinition:
    """A table with two checks of its days, which ends as it is told."""

    @quiet(dg.asset)(  # type: ignore[untyped-decorator]
        key=key, partitions_def=DAILY, deps=KEYS[: KEYS.index(key)], backfill_policy=IN_ONE_RUN,
        check_specs=[dg.AssetCheckSpec(name, asset=key) for name in ("rows", "cost")],
    )  # fmt: skip
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        if outcome["of"] == f"{key.path[-1]} fails":
            raise dg.Failure("as it was told")
        context.log.info("at work")
        yield dg.MaterializeResult(metadata={"rows": random.randrange(100)})
        for name in ("rows", "cost"):
            yield dg.AssetCheckResult(
                passed=outcome["of"] != f"{name} wrong", check_name=name, severity=dg.AssetCheckSeverity.WARN
            )

    made: dg.AssetsDefinition = body
    return made


OUTCOMES = ("all good", "lines fails", "totals fails", "rows wrong", "cost wrong")


def play(instance: dg.DagsterInstance, seed: int, runs_of: int = 9) -> None:
    """Runs over random days and ranges that end in random ways."""
    chance, outcome = random.Random(seed), {"of": ""}
    tables = [table(key, outcome) for key in KEYS]
    for _ in range(runs_of):
        outcome["of"] = chance.choice(OUTCOMES)
        first, last = sorted(chance.choices(DAYS, k=2)) if chance.random() < 0.3 else [chance.choice(DAYS)] * 2
        selection = chance.choice([[KEYS[0]], KEYS, KEYS])
        tags = {"tenant": "acme"} | (
            {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
            if first != last
            else {}
        )
        dg.materialize(
            tables, instance=instance, selection=selection, tags=tags, raise_on_error=False,
            partition_key=None if first != last else first,
        )  # fmt: skip


def state(instance: dg.DagsterInstance) -> dict[str, Any]:
    """All that Dagster shows of partitions and checks."""
    shown = partition_states(instance, KEYS, CHECKS)
    for key in KEYS:
        for day in DAYS:
            newest = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key, asset_partitions=[day]), limit=1
            ).records
            shown[f"{key} {day}"] = [(r.storage_id, r.run_id, r.asset_materialization.metadata) for r in newest]  # type: ignore[union-attr]
    return shown


def counts(instance: dg.DagsterInstance) -> dict[str, int]:
    """Rows of Dagster's tables, and files of runs."""
    storage, run_storage = instance.event_log_storage, instance.run_storage
    tables = {"events": SqlEventLogStorageTable, "executions": AssetCheckExecutionsTable}
    with storage.index_connection() as connection:  # type: ignore[attr-defined]
        found = {name: connection.scalar(sa.select(sa.func.count()).select_from(t)) for name, t in tables.items()}
    with run_storage.connect() as connection:  # type: ignore[attr-defined]
        for name, t in (("runs", RunsTable), ("tags", RunTagsTable)):
            found[name] = connection.scalar(sa.select(sa.func.count()).select_from(t))
    return found


POSTGRES = """storage:
  postgres: {{postgres_db: {{hostname: 127.0.0.1, port: {port}, username: postgres, password: "{password}",
    db_name: {database}, scheme: postgresql+psycopg2}}}}
"""


@pytest.fixture(
    params=[
        "this project's SQLite",
        "Dagster's SQLite",
        pytest.param("Postgres", marks=pytest.mark.xdist_group("postgres")),
    ]
)
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    config = ""
    if request.param == "Postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        config = POSTGRES.format(port=postgres.port, password=postgres.password, database=postgres.database())
    elif request.param == "Dagster's SQLite":
        config = f"storage: {{sqlite: {{base_dir: {tmp_path / 'dagster'}}}}}\n"
    with dagster_at(tmp_path / "dagster", config) as opened:
        yield opened


@pytest.fixture
def clock() -> list[timedelta]:
    return [timedelta()]


@pytest.fixture
def history(instance: dg.DagsterInstance, tmp_path: Path, clock: list[timedelta]) -> History:
    settings = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})
    store = ControlStore(control_url(settings, {}), lambda: datetime.now(UTC) + clock[0])
    return History(instance, store, settings)


@pytest.mark.parametrize("seed", [1])
def test_partitions_and_checks_are_as_before_and_little_else_is_left(
    history: History, clock: list[timedelta], seed: int
) -> None:
    play(history.instance, seed)
    before, rows = state(history.instance), counts(history.instance)
    assert history.prune(()).events == 0, "nothing is old yet"
    clock[0] = timedelta(days=91)
    pruned = history.prune(())
    assert pruned.finished
    assert pruned.runs_without_events == rows["runs"]
    assert state(history.instance) == before
    assert counts(history.instance)["runs"] == rows["runs"], "runs are kept longer than their events"
    clock[0] = timedelta(days=366)
    assert history.prune(()).runs > 0
    assert state(history.instance) == before
    left = counts(history.instance)
    # Of each table's day a plan, a materialisation, a failure and an observation; of a check's day an execution.
    assert left["events"] < rows["events"]
    assert left["executions"] <= len(CHECKS) * (len(DAYS) + 1)
    red = {run for key in KEYS for run in red_runs(history.instance, key)}
    newest = history.instance.get_run_records(limit=1)[0].dagster_run.run_id
    assert {r.dagster_run.run_id for r in history.instance.get_run_records()} == red | {newest}
    again = history.prune(())
    assert (again.events, again.runs, counts(history.instance)) == (0, 0, left)


@pytest.mark.parametrize("instance", ["this project's SQLite"], indirect=True)
def test_the_events_of_a_run_are_found_without_reading_those_of_all_runs(history: History) -> None:
    play(history.instance, 1)
    read = []
    storage: Any = history.instance.event_log_storage
    with storage.index_connection() as connection:
        engine = connection.engine
    sa.event.listen(engine, "before_cursor_execute", lambda conn, cursor, sql, values, *_: read.append((sql, values)))
    for record in history.instance.get_run_records():
        DagsterHistory(history.instance).delete_events(record.dagster_run.run_id)
    with storage.index_connection() as connection:
        plans = [
            (row.detail, sql)
            for sql, values in list(read)
            if sql.startswith(("SELECT", "DELETE"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    assert any("asset_check_executions" in detail for detail, _ in plans)
    assert [plan for plan in plans if plan[0].startswith("SCAN")] == []


def red_runs(instance: dg.DagsterInstance, key: dg.AssetKey) -> set[str]:
    storage: Any = instance.event_log_storage
    attempts = storage.get_latest_asset_partition_materialization_attempts_without_materializations(key)
    return {run_id for run_id, _ in attempts.values()}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("seed", [1])
def test_whatever_kills_it_the_next_call_continues(
    history: History, clock: list[timedelta], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(history.instance, seed, runs_of=6)
    before = state(history.instance)
    clock[0] = timedelta(days=366)
    chance = random.Random(seed)

    def killing(work: Any) -> Any:
        def maybe(*arguments: Any) -> Any:
            if chance.random() < 0.05:
                raise Killed
            done = work(*arguments)
            if chance.random() < 0.05:
                raise Killed
            return done

        return maybe

    for name in ("delete_events", "delete_run", "_delete_file"):
        monkeypatch.setattr(DagsterHistory, name, killing(getattr(DagsterHistory, name)))
    kills, finished = 0, False
    while not finished:
        assert kills < 500
        try:
            finished = history.prune(()).finished
        except Killed:
            kills += 1
            assert state(history.instance) == before
    assert kills > 0
    assert state(history.instance) == before
    monkeypatch.undo()
    left = counts(history.instance)
    assert history.prune(()).finished
    assert counts(history.instance) == left


def snapshot_ids(instance: dg.DagsterInstance) -> set[str]:
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return set(connection.scalars(sa.select(SnapshotsTable.c.snapshot_id)))


def needed_snapshots(instance: dg.DagsterInstance) -> set[str]:
    """Those of every run, and the job that its job is a selection of."""
    needed = set()
    for record in instance.get_run_records():
        run = record.dagster_run
        assert run.job_snapshot_id
        assert run.execution_plan_snapshot_id
        needed |= {run.job_snapshot_id, run.execution_plan_snapshot_id}
        lineage = instance.get_job_snapshot(run.job_snapshot_id).lineage_snapshot
        if lineage:
            needed.add(lineage.parent_snapshot_id)
    return needed


def run_of_another_release(instance: dg.DagsterInstance, number: int) -> str:
    """A run whose definitions no other run has, made from a selection of a job; it has been deleted since."""
    ops = [dg.op(name=f"op_{number}_{name}")(lambda: None) for name in ("one", "two")]

    @dg.job(name=f"job_{number}")
    def whole() -> None:
        for op in ops:
            op()

    run = instance.create_run_for_job(whole.get_subset(op_selection=[ops[0].name]))
    DagsterHistory(instance).delete_run(run.run_id)
    return run.run_id


def test_snapshots_go_after_their_last_run_and_those_of_a_run_stay_with_what_they_refer_to(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_snapshots, "_PAGE", 2)
    play(history.instance, 2, runs_of=4)
    of_runs = snapshot_ids(history.instance)
    for number in range(3):
        run_of_another_release(history.instance, number)
    before, all_of_them = state(history.instance), snapshot_ids(history.instance)
    assert needed_snapshots(history.instance) <= of_runs
    assert len(all_of_them - of_runs) == 9, "a job, what it selects from, and a plan"
    assert history.prune(()).snapshots == 0, "they may wait for their run"
    delete = dagster_snapshots._delete
    kills = iter([None, Killed, None, Killed])

    def killed_now_and_then(*arguments: Any) -> int:
        done = delete(*arguments)
        if next(kills, None):
            raise Killed
        return done

    monkeypatch.setattr(dagster_snapshots, "_delete", killed_now_and_then)
    for _ in range(2):
        with pytest.raises(Killed):
            history.prune(())
    assert history.prune(()).finished
    assert snapshot_ids(history.instance) == of_runs
    assert history.prune(()).snapshots == 0
    assert state(history.instance) == before


def test_snapshots_of_a_run_that_is_deleted_go_a_day_later(history: History, clock: list[timedelta]) -> None:
    play(history.instance, 4, runs_of=5)
    history.prune(())
    clock[0] = timedelta(days=366)
    assert history.prune(()).finished
    assert snapshot_ids(history.instance) == needed_snapshots(history.instance)


def test_of_plans_of_one_job_those_of_its_runs_stay(history: History) -> None:
    instance, job = history.instance, dg.job(name="nothing")(lambda: None)
    kept, deleted = instance.create_run_for_job(job), instance.create_run_for_job(job)
    storage: Any = instance.run_storage
    assert kept.execution_plan_snapshot_id
    plan = instance.get_execution_plan_snapshot(kept.execution_plan_snapshot_id)
    again = plan._replace(executor_name="of a run that was executed again in part")
    storage.add_execution_plan_snapshot(again)
    DagsterHistory(instance).delete_run(deleted.run_id)
    history.prune(())
    assert history.prune(()).snapshots == 1
    assert snapshot_ids(instance) == {kept.job_snapshot_id, kept.execution_plan_snapshot_id}


def test_it_stops_in_time_and_is_due_once_a_day(history: History, clock: list[timedelta]) -> None:
    play(history.instance, 5, runs_of=3)
    clock[0] = timedelta(days=366)
    assert history.is_due()
    assert not history.prune((), seconds=-1).finished
    assert history.is_due(), "what was not completed is due"
    assert history.prune(()).finished
    assert not history.is_due()
    clock[0] += EVERY
    assert history.is_due()


def test_runs_that_are_created_side_by_side_are_all_seen_and_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_history, "PAGE", 3)
    with dagster_at(tmp_path / "dagster") as instance:
        run_ids = [instance.create_run_for_job(dg.job(name="nothing")(lambda: None)).run_id for _ in range(10)]
        moments = [datetime(2026, 3, 1, 0, 0, n // 2) for n in reversed(range(10))]
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            for run_id, moment in zip(run_ids, moments, strict=True):
                connection.execute(
                    RunsTable.update().where(RunsTable.c.run_id == run_id).values(create_timestamp=moment)
                )
        dagster = DagsterHistory(instance)
        found = [r.dagster_run.run_id for r in dagster.runs_before(datetime(2026, 4, 1, tzinfo=UTC))]
        assert sorted(set(found)) == sorted(run_ids)
        left = []
        for record in dagster.runs_before(datetime(2026, 4, 1, tzinfo=UTC)):  # each is deleted while it goes on
            left.append(record.dagster_run.run_id)
            dagster.delete_run(record.dagster_run.run_id)
        assert sorted(set(left)) == sorted(run_ids)


def test_a_pass_that_runs_out_of_time_goes_on_with_the_next_tenant(tmp_path: Path) -> None:
    watched = Watched(Project.at(tmp_path / "home"))
    tenants = [replace(watched.project.tenant, tenant_id=f"t{n}", dataset=f"t{n}") for n in range(4)]
    with dagster_at(tmp_path / "dagster") as instance:
        history = History(instance, watched.store, watched.project.settings)
        seen: list[str] = []

        def advance(what: str) -> None:
            seen.append(what)
            if len(seen) == 2:
                raise Killed

        with pytest.raises(Killed):
            history.prune(tenants, advance=advance)
        assert history.prune(tenants, advance=seen.append).finished
    assert seen == [f"ledger of t{n}" for n in range(4)]


def test_a_rebuilt_index_keeps_the_runs_whose_events_are_gone(tmp_path: Path) -> None:
    watched = Watched(Project.at(tmp_path / "home"))
    old = watched.run("old", status="failed", error_class="not_found", rows_published=7,
                      created_at=watched.now - timedelta(days=100))  # fmt: skip
    watched.run("new", status="succeeded")
    with watched.store.write() as connection:
        kept.write_events_deleted_through(connection, watched.now - timedelta(days=90))
        run_cursors.reset_index(connection, watched.now)
    with watched.store.read() as connection:
        assert runs.parts_of(connection, "old") == [old]
        assert runs.parts_of(connection, "new") == [], "it is read again"


def test_the_file_of_a_pruned_run_is_gone_and_its_page_is_empty(tmp_path: Path) -> None:
    with dagster_at(tmp_path / "dagster") as instance:
        play(instance, 3, runs_of=2)
        run_ids = [record.dagster_run.run_id for record in instance.get_run_records()]
        storage: Any = instance.event_log_storage
        paths = [storage.path_for_shard(run_id) for run_id in run_ids]
        assert all(map(os.path.exists, paths))
        for run_id in run_ids:
            assert DagsterHistory(instance).delete_events(run_id) > 0
        assert not any(map(os.path.exists, paths))
        assert list(instance.all_logs(run_ids[0])) == []


def test_old_rows_of_the_index_and_the_ledger_go_and_a_pipelines_newest_run_stays(tmp_path: Path) -> None:
    project = Project.at(tmp_path / "home")
    watched = Watched(project)
    old, newest = watched.now - timedelta(days=400), watched.now - timedelta(days=380)
    for run_id, created in (("old", old), ("newest", newest)):
        watched.run(run_id, created_at=created, started_at=created, status="succeeded")
    logs, schema = TableRef("acme", LOGS), TABLES[LOGS].schema
    with open_warehouse(project.settings) as warehouse:
        warehouse.ensure_table(logs, schema)
        rows = [
            {"log_id": name, "pipeline_run_id": "r", "tenant_id": "acme", "pipeline_id": "p", "event": "published",
             "created_at": moment} for name, moment in (("old", old), ("new", watched.now))
        ]  # fmt: skip
        warehouse.merge_rows(logs, schema, rows, ("log_id",), Job("put"))
    with dagster_at(tmp_path / "dagster") as instance:
        pruned = History(instance, watched.store, project.settings).prune([project.tenant])
    assert (pruned.index_rows, pruned.ledger_tables, pruned.failed) == (1, 1, {})
    with watched.store.read() as connection:
        assert runs.latest_run(connection, "acme", "demo_costs").run_id == "newest"  # type: ignore[union-attr]
        assert kept.completed_at(connection) == watched.now
    assert project.read(f"SELECT log_id FROM acme.{LOGS}") == [{"log_id": "new"}]
    assert isinstance(watched.now.date(), date)
