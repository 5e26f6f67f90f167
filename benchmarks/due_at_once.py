"""The days of many tenants due in one minute, by the real daemon on Postgres: `python -m benchmarks.due_at_once`.

`[--tenants 100] [--beside 0] [--rows 2000] [--slots 3] [--json]`: each tenant has the shipped gcp_billing and bills of
its own for one day; tenants beside them are paused. Seconds from the due minute until all is published, and until
ledger, planner and late data are through; CPU of all processes until then, by what they are; ticks; peak memory; and
what is left after the end.
"""

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.dagster_dev import Processes, dagster_dev
from benchmarks.family import Family
from benchmarks.postgres_deployment import TEMPLATE, Deployment, deployment
from convergence_assets.control import ledger_rows, tables
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.pipelines.catalog import library
from convergence_assets.process import is_gone

EVERY_SECONDS = 1.0
RUNS = "{ runsOrError(limit: 100000) { ... on Runs { results { status tags { key value } } } } }"
TICKS = """ticks(limit: 5000) { timestamp endTimestamp status }"""
ASKED = f"""{{ repositoriesOrError {{ ... on RepositoryConnection {{ nodes {{
    schedules {{ name scheduleState {{ {TICKS} }} }} sensors {{ name sensorState {{ {TICKS} }} }} }} }} }} }}"""


@dataclass(frozen=True)
class Found:
    """What was measured; `cpu` in seconds by process, from the due minute until all is settled."""

    tenants: int
    slots: int
    published: int
    """Tenants with every table of the day."""
    rows: Mapping[str, Sequence[int]]
    """Of each table the different numbers of rows that tenants published."""
    runs: Mapping[str, int]
    """Dagster's runs by status."""
    runs_of_a_tenant: int
    """The most that any tenant had."""
    load_seconds: float
    published_seconds: float
    settled_seconds: float
    cpu: Mapping[str, float]
    idle_cpu_a_minute: Mapping[str, float]
    """Before the due minute."""
    ticks: Mapping[str, tuple[int, float]]
    """Of each schedule and sensor how many, and the longest in seconds, the making of runs included."""
    failed_ticks: Mapping[str, int]
    peak_bytes: Mapping[str, int]
    """Of the largest process of a kind."""
    left: Sequence[str]
    """Locks, workers and processes that are still there after the end."""

    @property
    def cpu_a_run(self) -> float:
        return sum(self.cpu.values()) / self.tenants


def measured(
    home: Path,
    postgres: str,
    *,
    tenants: int,
    beside: int = 0,
    rows: int = 2000,
    slots: int = 3,
    lead: timedelta = timedelta(minutes=2),
) -> Found:
    """Run it in this empty folder and an empty database at this URL; the processes have `lead` to start in, and
    `beside` more tenants, which are paused.

    Raises `TimeoutError` where it takes longer than anybody would wait.
    """
    deployed = deployment(home, postgres, tenants=tenants, beside=beside, rows=rows, slots=slots, lead=lead)
    with dagster_dev(deployed.settings.home, deployed.environ) as started:
        began = time.monotonic()
        family = Family([started.pid, deployed.postmaster()])
        _wait(started.has_loaded, "the code location to load", family, 600)
        loaded = time.monotonic()
        store, idle = deployed.store(), family.cpu_seconds()
        _wait(lambda: datetime.now(UTC) >= deployed.due, "the due minute", family, 1800)
        before, idle_minutes = family.cpu_seconds(), (time.monotonic() - loaded) / 60
        _wait(lambda: _published(store) == tenants, "all days to be published", family, 300 + 20 * tenants)
        published = datetime.now(UTC) - deployed.due
        _wait(lambda: _settled(store, deployed, tenants), "ledger and planner", family, 600 + tenants)
        settled, after = datetime.now(UTC) - deployed.due, family.cpu_seconds()
        ticks, failed = _ticks(started)
        runs = started.ask(RUNS)["runsOrError"]["results"]
        alive = [process for role, process in family.processes() if role != "postgres"]
    return Found(
        tenants=tenants,
        slots=slots,
        published=_published(store),
        rows=_rows(store),
        runs=Counter(run["status"] for run in runs),
        runs_of_a_tenant=max(Counter(t["value"] for run in runs for t in run["tags"] if t["key"] == "tenant").values()),
        load_seconds=loaded - began,
        published_seconds=published.total_seconds(),
        settled_seconds=settled.total_seconds(),
        cpu={role: spent - before.get(role, 0.0) for role, spent in after.items()},
        idle_cpu_a_minute={role: (spent - idle.get(role, 0.0)) / idle_minutes for role, spent in before.items()},
        ticks=ticks,
        failed_ticks=failed,
        peak_bytes=family.peak_bytes,
        left=_left(store, alive),
    )


def _wait(what: Callable[[], bool], name: str, family: Family, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{seconds:.0f} s were not enough for {name}")
        family.cpu_seconds()  # for the peaks of processes that end
        time.sleep(EVERY_SECONDS)


def _published(store: ControlStore) -> int:
    """Tenants of whose pipeline every table is there."""
    template = library()[TEMPLATE].template
    assert template
    published, of_each = tables.publications.c, len(template.spec.steps)
    each = sa.select(published.tenant_id).group_by(published.tenant_id).having(sa.func.count() == of_each)
    with store.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(each.subquery())).scalar_one()


def _settled(store: ControlStore, deployed: Deployment, tenants: int) -> bool:
    has_asked = tables.pipelines.c.late_data_asked_at >= deployed.due
    ended = tables.runs.c.ended_at.is_not(None)
    with store.read() as connection:
        if ledger_rows.tenant_queues(connection) or connection.execute(sa.select(tables.partitions)).first():
            return False
        counted = [
            connection.execute(sa.select(sa.func.count()).select_from(table).where(done)).scalar_one()
            for table, done in ((tables.pipelines, has_asked), (tables.runs, ended))
        ]
    return counted == [tenants, tenants]


def _rows(store: ControlStore) -> Mapping[str, Sequence[int]]:
    found = defaultdict(set)
    with store.read() as connection:
        for row in connection.execute(sa.select(tables.publications)):
            found[row.table_name].add(row.rows)
    return {table: sorted(counts) for table, counts in found.items()}


def _ticks(started: Processes) -> tuple[Mapping[str, tuple[int, float]], Mapping[str, int]]:
    found, failed = {}, Counter[str]()
    for node in started.ask(ASKED)["repositoriesOrError"]["nodes"]:
        for one in (*node["schedules"], *node["sensors"]):
            ticks = (one.get("scheduleState") or one.get("sensorState"))["ticks"]
            took = [t["endTimestamp"] - t["timestamp"] for t in ticks if t["endTimestamp"]]
            found[one["name"]] = (len(ticks), max(took, default=0.0))
            failed[one["name"]] += sum(t["status"] == "FAILURE" for t in ticks)
    return found, +failed


def _left(store: ControlStore, processes: Sequence[psutil.Process]) -> list[str]:
    _, alive = psutil.wait_procs(processes, timeout=30)
    with store.read() as connection:
        locks = [f"lock {row.tenant_id} {row.run_id}" for row in connection.execute(sa.select(tables.locks))]
    workers = [f"worker {w.owner} of {w.run_id}" for w in Workers(store).living() if not is_gone(w.owner)]
    return [*locks, *workers, *(f"process {process}" for process in alive)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tenants", type=int, default=100)
    arguments.add_argument("--beside", type=int, default=0, help="so many more tenants, which are paused")
    arguments.add_argument("--rows", type=int, default=2000)
    arguments.add_argument(
        "--slots", type=int, nargs="+", default=[3], help="runs at once; several are measured in turn"
    )
    arguments.add_argument("--lead", type=int, default=120, help="seconds before the due minute")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    from tests.postgres.postgres_server import Postgres

    found = []
    for slots in chosen.slots:
        postgres = Postgres()
        postgres.start()
        try:
            with tempfile.TemporaryDirectory(prefix="convergence-bench-") as home:
                url, lead = postgres.url(postgres.database()), timedelta(seconds=chosen.lead)
                settings = {"tenants": chosen.tenants, "beside": chosen.beside, "rows": chosen.rows, "slots": slots}
                found.append(measured(Path(home), url, **settings, lead=lead))
        finally:
            postgres.stop()
        if not chosen.json:
            show(found[-1])
    if chosen.json:
        print(json.dumps([asdict(one) | {"cpu_a_run": one.cpu_a_run} for one in found]))


def show(found: Found) -> None:
    """As a table."""
    console = Console()
    console.print(
        f"{found.tenants} tenants, {found.slots} runs at once: loaded in {found.load_seconds:.0f} s; all published "
        f"after {found.published_seconds:.0f} s ({found.published_seconds / found.tenants:.2f} s a run), settled after "
        f"{found.settled_seconds:.0f} s; {found.cpu_a_run:.2f} CPU-s a run"
    )
    table = Table("processes", "CPU-s", "CPU-s a run", "CPU-s an idle minute", "peak MB")
    for role, spent in sorted(found.cpu.items(), key=lambda item: -item[1]):
        idle, peak = found.idle_cpu_a_minute.get(role, 0.0), found.peak_bytes.get(role, 0) / 1e6
        table.add_row(role, f"{spent:.1f}", f"{spent / found.tenants:.2f}", f"{idle:.1f}", f"{peak:.0f}")
    console.print(table)
    table = Table("ticks", "number", "longest, s", "failed")
    for name, (number, longest) in sorted(found.ticks.items()):
        table.add_row(name, str(number), f"{longest:.1f}", str(found.failed_ticks.get(name, 0)))
    console.print(table)
    console.print(f"runs {dict(found.runs)}, at most {found.runs_of_a_tenant} a tenant; rows {dict(found.rows)}")
    console.print(f"left after the end: {', '.join(found.left) or 'nothing'}")


if __name__ == "__main__":
    main()
