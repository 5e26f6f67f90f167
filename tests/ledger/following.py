"""A follower over a real Dagster with a clock that tests move, and small assets that end as they are told."""

import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import runs as index
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import ledger_rows, runs
from convergence_assets.ledger.follow import Followed, Follower
from convergence_assets.ledger.run_events import RunEvent
from convergence_assets.ledger.run_mapping import status_of
from convergence_assets.ledger.write import Written, write_ledger
from convergence_assets.warehouse.interface import Warehouse
from tests.assets.project import Project

DAYS = dg.DailyPartitionsDefinition("2026-03-01")
told = sa.Table(
    "told",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_event", sa.LargeBinary),
)
Body = Callable[[dg.AssetExecutionContext], Iterator[Any]]


@dataclass
class World:
    store: ControlStore
    instance: dg.DagsterInstance
    project: Project
    clock: list[timedelta]

    @classmethod
    def of(
        cls, store: Callable[[Callable[[], datetime]], ControlStore], instance: dg.DagsterInstance, project: Project
    ) -> "World":
        clock = [timedelta()]
        created = store(lambda: datetime.now(UTC) + clock[0])
        with created.write() as connection:
            told.create(connection, checkfirst=True)
        return cls(created, instance, project, clock)

    @property
    def run_events(self) -> list[RunEvent]:
        with self.store.read() as connection:
            return [
                pickle.loads(run_event)
                for run_event in connection.scalars(sa.select(told.c.run_event).order_by(told.c.id))
            ]

    def wait(self, seconds: float) -> None:
        """Time passes for the follower; Dagster's own moments stay."""
        self.clock[0] += timedelta(seconds=seconds)

    def observe(self, connection: sa.Connection, run_events: Sequence[RunEvent]) -> None:
        """As an incident is kept: in the transaction that it is told in."""
        connection.execute(sa.insert(told), [{"run_event": pickle.dumps(run_event)} for run_event in run_events])

    def follower(self) -> Follower:
        return Follower(self.store, self.instance, {"acme": self.project.tenant}, self.observe)

    def follow(self, budget_seconds: float = 30) -> Followed:
        return self.follower().follow(budget_seconds)

    def settle(self) -> None:
        """Follow until nothing more can come of runs that have ended."""
        self.follow()
        self.wait(61)
        self.follow()

    def write(self, opened: Callable[[str | None], Warehouse] | None = None) -> Written:
        return write_ledger(self.store, opened or self.open, {"acme": self.project.tenant}, 30)

    def open(self, location: str | None = None) -> Warehouse:
        return open_warehouse(self.project.settings, location)

    def index(self) -> list[IndexedRun]:
        with self.store.read() as connection:
            return list(reversed(index.runs_page(connection, index.RunFilter(), limit=10_000).runs))

    def of_kind(self, kind: type) -> list[Any]:
        return [run_event for run_event in self.run_events if isinstance(run_event, kind)]

    def waiting(self) -> int:
        with self.store.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(ledger_rows)) or 0

    def indexed_everything(self) -> list[tuple[object, ...]]:
        with self.store.read() as connection:
            return [tuple(row) for row in connection.execute(sa.select(runs).order_by(*runs.primary_key))]

    def logs(self, columns: str, where: str = "TRUE") -> list[tuple[object, ...]]:
        found = self.project.read(
            f"SELECT {columns} FROM acme.x_meta_pipeline_logs WHERE {where} ORDER BY created_at, log_id"
        )
        return [tuple(row.values()) for row in found]

    def ids(self, table: str, column: str) -> list[str]:
        return [str(row["id"]) for row in self.project.read(f"SELECT {column} AS id FROM acme.{table} ORDER BY 1")]


def materialize(world: World, *assets: dg.AssetsDefinition, **fields: Any) -> str:
    """Run the assets in this process; the run's id."""
    return run_assets(world.instance, *assets, **fields)


def run_assets(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, **fields: Any) -> str:
    job = dg.Definitions(assets=assets, executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    keys = [key for asset in assets for key in asset.keys]
    done = job.execute_in_process(
        instance=instance, asset_selection=keys, run_config=config, raise_on_error=False,
        **{"partition_key": "2026-03-01"} | fields,
    )  # fmt: skip
    return done.run_id


def table(
    name: str, body: Body, pipeline: str = "demo_costs", tenant: str = "acme", **fields: Any
) -> dg.AssetsDefinition:
    """An asset `[tenant, pipeline, name]`."""

    def made(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from body(context)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        policy = dg.BackfillPolicy.single_run()
        key = [tenant, pipeline, name]
        asset: dg.AssetsDefinition = dg.asset(key=key, partitions_def=DAYS, backfill_policy=policy, **fields)(made)
        return asset


def good(rows: int = 3) -> Body:
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        counted = dict.fromkeys(context.partition_keys, rows)
        yield dg.MaterializeResult(metadata={"dagster/row_count": rows, "rows_by_partition": counted})

    return body


def agrees_with_dagster(world: World) -> None:
    """Index and ledger say of every run what Dagster's storage says."""
    dagster = {r.dagster_run.run_id: r for r in world.instance.get_run_records()}
    indexed = {run.run_id: run for run in world.index()}
    assert set(indexed) == set(dagster)
    found = world.project.read("SELECT * FROM acme.x_meta_pipeline_runs")
    ledger = {str(row["pipeline_run_id"]): row for row in found}
    assert len(found) == len(world.index())
    for run_id, record in dagster.items():
        run, row = indexed[run_id], ledger[run_id]
        assert run.dagster_status == record.dagster_run.status.value
        assert run.status == row["status"] == status_of(run.dagster_status)
        for moment, column in ((record.start_time, "started_at"), (record.end_time, "ended_at")):
            of_dagster = datetime.fromtimestamp(moment, UTC) if moment else None
            assert of_dagster == getattr(run, column) == row[column]
        assert (row["rows_published"], row["error_class"]) == (run.rows_published, run.error_class)
