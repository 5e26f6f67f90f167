"""What each half of the SQLite storage is worth: kept connections, and an event's rows written together.

`python -m benchmarks.storage [--days 20]`; CPU seconds of one process that runs a warm tenant-day, and a range of days
in one run, on Dagster's own storage, on ours, and on ours with Dagster's own writing of rows. Medians, in turns.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from benchmarks.figures import figure
from convergence_assets.cli.run import Definitions
from convergence_assets.dagster_internals import sqlite_storage
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from tests.assets.project import TENANTS, Project, hourly

FIRST = date(2026, 3, 2)
DAGSTERS, CONNECTIONS, OURS = "Dagster's storage", "connections kept", "connections kept, rows together"
RANGES = 5


class _DagstersRows(sqlite_storage.EventLogStorage):
    """Kept connections alone."""

    def store_event(self, event: dg.EventLogEntry) -> None:
        SqliteEventLogStorage.store_event(self, event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        for event in events:
            SqliteEventLogStorage.store_event(self, event)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=20)
    days = [FIRST + timedelta(days=n) for n in range(parser.parse_args().days)]
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        os.environ |= {"CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS)}
        project = Project.at(home)
        project.load_bills([row for day in days for row in hourly(day, project.tenant.timezone, 1.0)])
        settings = Settings.from_env()
        definitions, tenant = Definitions(settings), load_tenants(settings).tenants["acme"]
        instances = {
            name: _instance(Path(folder, str(n)), name) for n, name in enumerate((DAGSTERS, CONNECTIONS, OURS))
        }

        def measured(stretches: Sequence[tuple[date, date]]) -> dict[str, float]:
            seconds: dict[str, list[float]] = defaultdict(list)
            for number, (first, last) in enumerate(stretches):
                names = list(instances)
                for name in names[number % 3 :] + names[: number % 3]:
                    began = time.process_time()
                    assert definitions.run(instances[name], tenant, tenant.pipelines[0], first, last).succeeded
                    seconds[name].append(time.process_time() - began)
            return {name: statistics.median(values[1:]) for name, values in seconds.items()}

        for what, stretches in (
            ("a day", [(day, day) for day in days]),
            (f"a range of {len(days)} days", [(days[0], days[-1])] * (RANGES + 1)),
        ):
            medians = measured(stretches)
            for name in (CONNECTIONS, OURS):
                figure(f"{what}: {name} / {DAGSTERS}", medians[name] / medians[DAGSTERS], "ratio", at_most=1.0)
            figure(f"{what}: {OURS} / {CONNECTIONS}", medians[OURS] / medians[CONNECTIONS], "ratio", at_most=1.0)
            print(", ".join(f"{name}: {value:.3f} CPU-s" for name, value in medians.items()))


def _instance(folder: Path, storage: str) -> dg.DagsterInstance:
    folder.mkdir()
    own = f"{{module: convergence_assets.dagster_instance, class: SqliteStorage, config: {{base_dir: {folder}}}}}"
    (folder / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\ninstance_class: {module: convergence_assets.dagster_instance, class: Instance}\n"
        + (f"storage: {{custom: {own}}}\n" if storage != DAGSTERS else "")
    )
    ours = sqlite_storage.EventLogStorage
    sqlite_storage.EventLogStorage = _DagstersRows if storage == CONNECTIONS else ours  # type: ignore[misc]
    try:
        return dg.DagsterInstance.from_config(str(folder))
    finally:
        sqlite_storage.EventLogStorage = ours  # type: ignore[misc]


if __name__ == "__main__":
    main()
