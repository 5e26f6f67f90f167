"""A simulated year of a deployment whose history is removed every day: what it holds, and how long it takes to look.

`python -m benchmarks.year [--tenants 100] [--days 365]`: about 0.1 CPU-seconds a tenant-day. Each commit waits for
the disk, unless TMPDIR is a folder in memory. With fewer days, all that is kept for a quarter or a year is kept for
that part of them. Every month the removal is killed once, at random, and the states of some assets' partitions are
compared; at the end, those of all.
"""

import argparse
import logging
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from rich.progress import track

from benchmarks.figures import figure
from benchmarks.simulated_deployment import SimulatedDeployment
from benchmarks.stored_sizes import Sizes, stored
from convergence_assets.scheduling.targets import Targets
from tests.monitoring.partition_states import partition_states

MONTHS, QUARTERS = 12, 4
AT_MOST = 1.2
"""Month 12, divided by month 3."""
LOOKS = 15
PAGES = 10
"""Assets whose page is read."""
COMPARED = 12
"""Assets whose partitions are compared each month."""


@dataclass(frozen=True)
class Moment:
    """What is held after the removal of a day, and how many table-days there are."""

    sizes: Sizes
    table_days: int


@dataclass(frozen=True)
class Year:
    """Month 3 and month 12; CPU seconds of ticks and of assets' pages, on what month 3 held and on what month 12 holds,
    measured in turns at the end; how often the removal was killed before its end."""

    early: Moment
    late: Moment
    seconds: dict[str, tuple[float, float]]
    kills: int

    @property
    def growth(self) -> float:
        """What is not state, in bytes."""
        return self.late.sizes.history_bytes / self.early.sizes.history_bytes


def simulated(
    folder: Path,
    tenants: int,
    days: int,
    seed: int = 1,
    *,
    killed: int = MONTHS,
    looks: int = LOOKS,
    shown: bool = False,
) -> Year:
    """Let the days pass; so often a removal is killed. Raises AssertionError where it changes a partition's state."""
    chance, quarter, month = random.Random(seed), days // QUARTERS, days // killed
    kills, early, then = 0, None, None
    with closing(SimulatedDeployment(folder, tenants, quarter, days, seed)) as deployment:
        for day in track(range(1, days + 1), "days", disable=not shown):
            deployment.pass_a_day()
            if day % month == 0 or day == days:
                kills += _removed_and_compared(deployment, chance, COMPARED if day < days else None)
            assert deployment.history.prune(()).finished
            if shown and day % month == 0:
                _say_held(f"day {day}", _held(deployment))
            if day == quarter:
                early, then = _held(deployment), deployment.copied(folder / "month 3")
        assert early
        assert then
        with closing(then):
            return Year(early, _held(deployment), _seconds(_work(then), _work(deployment), looks), kills)


def _removed_and_compared(deployment: SimulatedDeployment, chance: random.Random, assets: int | None) -> bool:
    """Remove history in a process that is killed, and to the end; compare the states of partitions of so many assets,
    or of all, before, between and after. Whether the process was killed before its end."""
    keys = deployment.asset_keys
    keys = chance.sample(keys, assets) if assets and assets < len(keys) else keys
    checks = [check for check in deployment.checks if check.asset_key in set(keys)]
    before = partition_states(deployment.instance, keys, checks)
    killed = deployment.pruned_and_killed(chance.uniform(0.05, 1.0))
    assert partition_states(deployment.instance, keys, checks) == before, f"killed on day {len(deployment.days)}"
    assert deployment.history.prune(()).finished
    assert partition_states(deployment.instance, keys, checks) == before, f"day {len(deployment.days)}"
    return killed


def _held(deployment: SimulatedDeployment) -> Moment:
    sizes = stored(deployment.folder / "dagster", deployment.folder / "control.db")
    return Moment(sizes, len(deployment.asset_keys) * len(deployment.days))


def _work(deployment: SimulatedDeployment) -> dict[str, Callable[[], object]]:
    """Ticks of sensors that find nothing to do, and the pages of some assets."""
    instance, monitor = deployment.instance, deployment.monitor
    schedules = Targets(monitor.targets).schedules
    keys = deployment.asset_keys[:PAGES]
    pages = {key: [check for check in deployment.checks if check.asset_key == key] for key in keys}
    return {
        "catch_up": lambda: deployment.planner.catch_up(schedules),
        "ledger": deployment.follow,
        "stuck_runs": lambda: monitor.remedy(instance, 30),
        "alerts": lambda: monitor.alert(instance, 30),
        "history": lambda: monitor.prune(instance, 30),
        "assets' pages": lambda: _asset_pages(instance, pages),
    }


def _asset_pages(instance: dg.DagsterInstance, pages: Mapping[dg.AssetKey, Sequence[dg.AssetCheckKey]]) -> None:
    """What Dagster's UI reads for an asset's page: the states of its partitions, its newest events, its checks."""
    storage: Any = instance.event_log_storage
    for key, checks in pages.items():
        published = instance.fetch_materializations(key, limit=100).records
        instance.fetch_observations(key, limit=100)
        get_and_update_asset_status_cache_value(instance, key, dg.DailyPartitionsDefinition("2026-03-01"))
        # What the status cache asks for after a new day; it asks for all days once.
        storage.get_latest_asset_partition_materialization_attempts_without_materializations(
            key, after_storage_id=published[min(5, len(published) - 1)].storage_id
        )
        storage.get_latest_asset_check_execution_by_key(checks)


def _seconds(
    early: Mapping[str, Callable[[], object]], late: Mapping[str, Callable[[], object]], looks: int
) -> dict[str, tuple[float, float]]:
    """Medians, measured in turns: the machine may be busier at one time than at another."""
    medians = {}
    for name in early:
        taken: tuple[list[float], list[float]] = ([], [])
        for look in range(looks + 1):
            for seconds, work in zip(taken, (early[name], late[name]), strict=True):
                began = time.process_time()
                work()
                if look:  # the first one fills caches
                    seconds.append(time.process_time() - began)
        medians[name] = (statistics.median(taken[0]), statistics.median(taken[1]))
    return medians


def say(year: Year) -> None:
    """The figures."""
    early, late = year.early, year.late
    figure("what is not state, month 12 / month 3", year.growth, "ratio", AT_MOST)
    on_postgres = late.sizes.history_bytes_of_one_database / early.sizes.history_bytes_of_one_database
    figure("the same in one database, as on Postgres", on_postgres, "ratio", AT_MOST)
    for name, moment in (("3", early), ("12", late)):
        figure(f"state a table-day, month {name}", moment.sizes.state_bytes / moment.table_days, "bytes")
        figure(f"what is not state, month {name}", moment.sizes.history_bytes / 2**20, "MiB")
    for name, (then, now) in year.seconds.items():
        figure(f"{name}, month 12 / month 3 ({1000 * then:.1f} ms)", now / then, "ratio", AT_MOST)
    figure("removals that were killed", year.kills, "")
    for table, rows in late.sizes.history_rows.items():
        if rows > 100:
            was = early.sizes.history_rows[table]
            held = late.sizes.history[table] / 2**20
            print(f"{table}: {was} rows that are not state at month 3, {rows} at month 12 ({held:.1f} MiB)")


def _say_held(when: str, moment: Moment) -> None:
    history, a_table_day = moment.sizes.history_bytes / 2**20, moment.sizes.state_bytes / moment.table_days
    print(f"{when}: {history:.1f} MiB are not state, state is {a_table_day:.0f} bytes a table-day", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=100)
    parser.add_argument("--days", type=int, default=365)
    said = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="convergence-year-") as folder:
        year = simulated(Path(folder), said.tenants, said.days, shown=True)
    say(year)


if __name__ == "__main__":
    main()
