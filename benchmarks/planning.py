"""A tick of the planner over 1 000 tenants of two pipelines with 400 days of history: nothing due, and twenty due.

`python -m benchmarks.planning [--tenants 1000] [--days 400]`; seconds of one process, the store on SQLite.
"""

import argparse
import statistics
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from benchmarks.figures import figure
from convergence_assets.control.partition_states import Progress, write_progress
from convergence_assets.control.publications import Publications, Tables
from convergence_assets.control.run_requests import Quota
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import publications
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.targets import Target, Targets

FIRST = date(2025, 1, 1)
DUE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--days", type=int, default=400)
    arguments = parser.parse_args()
    for days in (10, arguments.days):
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), arguments.tenants, days)


def _measure(folder: Path, tenants: int, days: int) -> None:
    end = FIRST + timedelta(days=days)
    clock = [datetime(end.year, end.month, end.day, 6, 0, 1, tzinfo=UTC)]
    store = ControlStore(sa.URL.create("sqlite", database=str(folder / "control.db")), lambda: clock[0])
    targets = [t for n in range(tenants) for t in _pipelines(f"tenant_{n:04d}", late=n < DUE // 2)]
    _history(store, targets, days)
    deployment = Targets(targets)
    planner = Planner(store, deployment, lambda requests: {})
    on = deployment.schedules
    idle = [_seconds(lambda: planner.catch_up(on), 0) for _ in range(5)]
    clock[0] += timedelta(hours=1)
    first = [_seconds(lambda: planner.catch_up(on), DUE // 2)]
    for target in targets:  # the readers follow once what they read is there
        if target.pipeline == "bills" and target.cron.startswith("0 7"):
            rows = {end - timedelta(days=1): 1}
            Publications(store).record(*target.name, "bills", rows, run_id="r", read_through=0)
    first.append(_seconds(lambda: planner.catch_up(on), DUE // 2))
    after = f"a planner's tick, {tenants} tenants with {days} days"
    figure(f"{after}, nothing due", statistics.median(idle), "s", 0.5)
    figure(f"{after}, {DUE // 2} due", first[0], "s", 2)
    figure(f"{after}, {DUE // 2} unblocked", first[1], "s", 2)


def _pipelines(tenant: str, *, late: bool) -> list[Target]:
    quota = Quota(tenant, "UTC", 4, 200, 4000)
    cron = "0 7 * * *" if late else "0 6 * * *"
    bills = Target(tenant, "bills", cron, "UTC", FIRST, Tables({"bills": {}}, "UTC"), frozenset(), quota)
    reading = Tables({"costs": {"bills": FIRST}}, "UTC")
    return [bills, Target(tenant, "costs", cron, "UTC", FIRST, reading, frozenset({"bills"}), quota)]


def _history(store: ControlStore, targets: list[Target], days: int) -> None:
    now = store.now()
    with store.write() as connection:
        for target in targets:
            # Those on the later schedule have a day less: it becomes due within the measurement.
            through = FIRST + timedelta(days=days - 1 - target.cron.startswith("0 7"))
            write_progress(connection, target.name, Progress(FIRST, through, through), now)
            version = 1 if target.pipeline == "bills" else 2
            rows = [
                {
                    "tenant_id": target.tenant_id, "table_name": target.pipeline, "day": FIRST + timedelta(days=n),
                    "pipeline": target.pipeline, "version": version, "read_through": version - 1, "rows": 2000,
                    "marker": None, "run_id": "run", "published_at": now,
                }
                for n in range((through - FIRST).days + 1)
            ]  # fmt: skip
            connection.execute(sa.insert(publications), rows)


def _seconds(tick: object, expected: int) -> float:
    began = time.perf_counter()
    launched = tick()  # type: ignore[operator]
    seconds = time.perf_counter() - began
    assert len(launched) == expected, len(launched)
    return seconds


if __name__ == "__main__":
    main()
