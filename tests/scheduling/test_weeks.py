"""Weeks of tenants in twelve timezones, over the changes to summer and winter time, with everything failing."""

import random
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import pytest

from tests.scheduling.world import World, at, target

ZONES = (
    "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "America/Sao_Paulo", "Asia/Tokyo",
    "Africa/Cairo", "America/Los_Angeles", "Pacific/Auckland", "Europe/London", "Asia/Kathmandu", "UTC",
)  # fmt: skip
CRONS = ("0 6 * * *", "30 2 * * *", "0 0 * * *", "15 5 * * 1-5")
MARCH = date(2026, 3, 27)


@pytest.mark.parametrize(
    ("count", "minutes", "first", "length", "parts"),
    [
        pytest.param(8, 60, MARCH, 6, (1, 3), marks=pytest.mark.slow),
        pytest.param(50, 15, MARCH, 14, (3, 1, 4), marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
        pytest.param(50, 15, date(2026, 3, 1), 60, (1,), marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_every_due_day_is_published_once_for_each_version_it_needs_and_in_order(
    tmp_path: Path, count: int, minutes: int, first: date, length: int, parts: tuple[int, ...]
) -> None:
    """`minutes` lie between two ticks; `parts` are how many planners share the tenants, one number after the other."""
    tick = timedelta(minutes=minutes)
    ticks_a_day = timedelta(days=1) / tick
    chance = random.Random(20260301)
    tenants = [f"tenant_{n:02d}" for n in range(count)]
    zones = {tenant: ZONES[n % len(ZONES)] for n, tenant in enumerate(tenants)}
    crons = {tenant: CRONS[n % len(CRONS)] for n, tenant in enumerate(tenants)}
    targets = [
        target(tenant, pipeline, reads, timezone=zones[tenant], cron=crons[tenant], start_date=first)
        for tenant in tenants
        for pipeline, reads in (("a", None), ("b", "a"), ("c", "b"))
    ]
    sources = [t for t in targets if t.pipeline == "a"]
    world = World(tmp_path, targets, at(first), chance, fail_share=0.08, lost_share=0.01)
    # At 16:00 UTC no day has been due for hours, in any of the timezones.
    end, quiet = at(first + timedelta(days=length), hour=16), at(first + timedelta(days=length - 3))
    down_until, up_since = world.now, world.now
    waits: list[float] = []
    seen = 0
    shared = [(at(first + timedelta(days=n * length // len(parts))), part) for n, part in enumerate(parts)]
    while world.now < end:
        while shared and world.now >= shared[0][0]:
            world.share_out(shared.pop(0)[1])
        if world.now >= quiet:
            world.fail_share = world.lost_share = 0.0
        elif world.now >= down_until and chance.random() < 1 / (6 * ticks_a_day):
            down_until = up_since = world.now + timedelta(hours=chance.choice([1, 5, 20, 50]))
        if world.now >= down_until:
            world.tick()
            for moment, launch in world.launched[seen:]:
                if launch.newest and launch.key.endswith("a1") and launch.target.pipeline == "a":
                    waits.append((moment - max(launch.target.due_at(launch.last), up_since)).total_seconds() / 60)
            seen = len(world.launched)
        if world.now < quiet and chance.random() < 5 / ticks_a_day:  # a person publishes a day again
            corrected = chance.choice(sources)
            days = [d for (t, p, d) in world.published if (t, p) == corrected.name]
            day = chance.choice(days) if days else None
            if day and day not in world.in_flight[corrected.name]:
                world.publish(corrected, [day], "by hand")
        world.advance(world.now + tick)
    assert world.outstanding_days() == []
    assert sum(1 for n in world.published.values() if n > 1) > length
    assert len({d for _, _, d in world.published}) >= length - 3
    # There is no jitter: nobody's newest day waits for somebody else's.
    assert median(waits) <= minutes
    assert max(waits) <= 3 * minutes, sorted(waits)[-10:]
