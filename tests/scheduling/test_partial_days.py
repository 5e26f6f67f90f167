"""A day that was published before it was over counts for nothing: it is due again, and lateness sees it."""

from datetime import date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.control import partition_states, publications
from convergence_assets.control.publications import Publication
from convergence_assets.control.tables import cursors
from convergence_assets.local_days import day_end, last_finished_day, why_unfinished
from convergence_assets.scheduling.explain import explain
from tests.scheduling.world import START, World, at, target

DAY = timedelta(days=1)
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati", "Etc/GMT+12", "America/Havana")


def publish(world: World, day: date, moment: datetime, table: str = "t_a", tenant: str = "acme") -> None:
    """As a release without the guard does."""
    now, world.now = world.now, moment
    version = world.publications.newest_version()
    world.publications.record(tenant, "a", table, {day: 5}, run_id="early", read_through=version)
    world.now = now


def newly_requested(world: World) -> list[str]:
    return [f"{launch.first}...{launch.last}" for launch in world.tick()]


def test_a_day_published_in_the_afternoon_is_made_again_when_it_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme", start_date=START)], at(START, 15))
    publish(world, START, world.now)
    assert newly_requested(world) == []
    world.advance(at(START + DAY, 6))
    assert newly_requested(world) == [f"{START}...{START}"]
    world.advance(at(START + DAY, 7))
    assert newly_requested(world) == []


def test_days_that_a_former_release_published_early_and_passed_over_are_due_once(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + 3 * DAY, 6))
    world.tick()
    world.advance(world.now + timedelta(hours=1))
    assert newly_requested(world) == []
    publish(world, START + DAY, at(START + DAY, 20))
    with world.store.write() as connection:  # as in a store of the former release: seen, and nobody has looked
        partition_states.write_read_through(connection, publications.newest_version(connection), world.planner._shard)
        connection.execute(sa.delete(cursors).where(cursors.c.name.startswith("planner: partial days")))
    world.tick()
    with world.store.read() as connection:
        (row,) = partition_states.all_outstanding(connection)
    assert (row.day, row.state) == (START + DAY, "requested")
    world.advance(world.now + timedelta(hours=1))
    assert newly_requested(world) == []


def test_what_reads_an_early_day_waits_until_it_is_made_again(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme"), target("acme", "b", reads="a")], at(START, 15))
    world.on = set()
    publish(world, START, world.now)
    reading = target("acme", "b", reads="a").tables
    found = world.publications.between("acme", reading.all_tables(), START, START)
    assert reading.missing(START, found) == ("t_a",)


def test_the_last_published_day_is_one_that_was_over(tmp_path: Path) -> None:
    world = World(tmp_path, [target("acme")], at(START + 3 * DAY, 5))
    publish(world, START, at(START + DAY, 1))
    publish(world, START + DAY, at(START + DAY, 23))
    for ahead in range(5):
        publish(world, START + (3 + ahead) * DAY, at(START + 3 * DAY, 4))
    (explained,) = explain(world.store, world.targets)
    assert explained.last_published == START
    with world.store.read() as connection:
        assert publications.newest_days(connection, {"acme": "UTC"}) == {("acme", "t_a"): START}
        assert publications.newest_days(connection, {}) == {}


@settings(max_examples=60, deadline=None)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
    st.integers(-3, 3),
    st.sampled_from(ZONES),
)
def test_a_day_is_refused_exactly_until_it_is_over(naive: datetime, offset: int, zone: str) -> None:
    now = naive.replace(tzinfo=at(START).tzinfo)
    day = now.date() + offset * DAY
    over = day_end(day, zone) <= now
    assert (why_unfinished(day, zone, now) is None) == over
    assert (day <= last_finished_day(zone, now)) == over
    published = Publication("acme", "a", "t", day, 1, 0, 5, None, "run", now)
    assert published.is_whole(zone) == over
