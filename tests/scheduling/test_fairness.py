"""A tenant with two years to catch up beside twenty tenants' days: theirs wait for one slot at most.

Dagster's run queue is modelled by what it does with priority and the shipped tag limits; the planner is the real one.
"""

import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import yaml

from convergence_assets.scheduling.capacity import Launch
from convergence_assets.scheduling.launching import CATCH_UP_PRIORITY, NEWEST_PRIORITY
from tests.scheduling.world import START, World, at, target

SHIPPED = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())["concurrency"]["runs"]
SLOTS = SHIPPED["max_concurrent_runs"]
(CATCH_UP_SLOTS,) = (limit["limit"] for limit in SHIPPED["tag_concurrency_limits"] if limit.get("value") == "catch_up")
RUN, LONG_RUN = timedelta(minutes=2), timedelta(minutes=10)
NOW = at(START + timedelta(days=730), 6)


def starts(launches: Sequence[Launch]) -> dict[str, datetime]:
    """When each launch's run begins: by priority, then by age, as many at once as there are slots."""
    waiting = sorted(launches, key=lambda launch: -(NEWEST_PRIORITY if launch.newest else CATCH_UP_PRIORITY))
    running: list[tuple[datetime, bool]] = []
    began, now = {}, NOW
    while waiting:
        while running and running[0][0] <= now:
            heapq.heappop(running)
        catching_up = sum(older for _, older in running)
        ready = [w for w in waiting if w.newest or catching_up < CATCH_UP_SLOTS]
        if len(running) < SLOTS and ready:
            waiting.remove(ready[0])
            began[ready[0].key] = now
            heapq.heappush(running, (now + (RUN if ready[0].newest else LONG_RUN), not ready[0].newest))
        else:
            now = running[0][0]
    return began


def waits(folder: Path, *, beside_a_backlog: bool) -> list[timedelta]:
    daily = [target(f"daily_{n:02d}", start_date=NOW.date() - timedelta(days=1)) for n in range(20)]
    behind = [target("behind", start_date=START, cron="0 5 * * *")] if beside_a_backlog else []
    world = World(folder, [*behind, *daily], NOW - timedelta(minutes=30))
    older = [launch for _ in range(3) for launch in world.planner.catch_up(world.on)]
    assert len(older) == (4 if beside_a_backlog else 0)  # its newest day, and what its plan allows beside it
    world.now = NOW
    newest = world.planner.due(("0 6 * * *", "UTC"))
    assert len(newest) == 20
    began = starts([*older[1:], *newest])
    return sorted(began[launch.key] - NOW for launch in newest)


def test_a_backlog_of_two_years_delays_the_days_of_others_by_one_slot_at_most(tmp_path: Path) -> None:
    idle = waits(tmp_path / "idle", beside_a_backlog=False)
    beside = waits(tmp_path / "beside", beside_a_backlog=True)
    assert all(wait <= alone + LONG_RUN for wait, alone in zip(beside, idle, strict=True)), (beside, idle)
