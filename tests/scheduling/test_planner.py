"""What the planner asks for, when, and what it leaves alone."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.control import partition_states
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.partition_states import Pauses, PendingPartition
from convergence_assets.control.run_requests import OverLimit, Quota, runs_used
from convergence_assets.scheduling import due
from convergence_assets.scheduling.capacity import CATCH_UP_DAYS
from convergence_assets.scheduling.explain import explain
from convergence_assets.scheduling.launching import run_request
from convergence_assets.scheduling.planner import LOST_AFTER, REQUESTS_A_TICK
from convergence_assets.scheduling.requesting import RETRY_AFTER
from convergence_assets.scheduling.targets import Target
from tests.postgres.postgres_server import POSTGRES
from tests.postgres.postgres_stores import postgres_store
from tests.scheduling.world import START, World, at, target

DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", POSTGRES])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., World]:
    """A world over an empty store of each kind, at six on the fourth of March."""
    url = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        url = postgres_store(server)

    def made(*targets: Target, now: datetime | None = None) -> World:
        return World(tmp_path, targets, now or at(START + 3 * DAY, 6), url=url)

    return made


def newly_requested(world: World) -> list[str]:
    return [launch.key for launch in world.tick()]


def test_the_newest_day_comes_first_and_the_missed_ones_in_one_run(make: Callable[..., World]) -> None:
    world = make(target("acme"))
    assert newly_requested(world) == ["acme/a/2026-03-03/v0/a1", "acme/a/2026-03-01...2026-03-02/v0/a1"]
    assert newly_requested(world) == []
    world.advance(world.now + timedelta(hours=1))
    assert world.outstanding_days() == []
    assert newly_requested(world) == []


def ask_for(world: World, tenant: str, *days: date, by: str = "key_1") -> None:
    """As the API does."""
    rows = [PendingPartition(tenant, "a", day, "due", "asked for", world.now, asked_by=by) for day in days]
    with world.store.write("planner") as connection:
        partition_states.write_outstanding(connection, rows)


def test_a_day_that_somebody_asked_for_goes_before_a_backlog_and_says_who_asked(make: Callable[..., World]) -> None:
    quotas = {name: Quota(name, "UTC", 2, 1000, 20000) for name in ("acme", "globex")}
    world = make(
        *(target(name, start_date=START - 300 * DAY, quota=quota) for name, quota in quotas.items()),
        now=at(START + 3 * DAY, 6),
    )
    world.tick()  # each tenant's newest day, and the first month of its outstanding days
    world.advance(world.now + timedelta(minutes=30))
    day = START - 200 * DAY
    ask_for(world, "acme", day, day + DAY)
    ask_for(world, "acme", day + 2 * DAY, by="key_2")
    first, *rest = world.tick()
    assert (first.key, first.trigger, first.asked_by) == (f"acme/a/{day}...{day + DAY}/v0/a1", "api", "key_1")
    assert [(launch.target.tenant_id, launch.trigger) for launch in rest] == [("globex", "catch_up")]
    request = run_request(first)
    assert (request.tags["convergence/trigger"], request.tags["convergence/triggered_by"]) == ("api", "key_1")
    assert int(request.tags["dagster/priority"]) > int(run_request(rest[0]).tags["dagster/priority"])
    world.advance(world.now + timedelta(minutes=30))
    assert ("api", "key_2") in [(launch.trigger, launch.asked_by) for launch in world.tick()]


def test_the_newest_day_is_the_askers_where_somebody_asked_and_keeps_them_when_it_fails_or_is_lost(
    make: Callable[..., World],
) -> None:
    world = make(target("acme", start_date=START + 2 * DAY))
    world.fail_share = 1.0
    ask_for(world, "acme", START + 2 * DAY)
    (launch,) = world.tick()
    assert (launch.newest, launch.trigger) == (True, "api")
    world.advance(world.now + timedelta(minutes=30))
    world.tick()
    world.lost_share = 1.0
    world.advance(world.now + RETRY_AFTER[0])
    (again,) = world.tick()
    assert (again.asked_by, again.key[-2:]) == ("key_1", "a2")
    world.advance(world.now + LOST_AFTER + timedelta(minutes=1))
    assert [(launch.key, launch.asked_by) for launch in world.tick()] == [(again.key, "key_1")]


def test_a_day_that_reads_another_pipeline_waits_for_it_and_says_so(make: Callable[..., World]) -> None:
    world = make(target("acme"), target("acme", "b", "a"), now=at(START + DAY, 6))
    assert newly_requested(world) == ["acme/a/2026-03-01/v0/a1"]
    (_, output) = explain(world.store, world.targets)
    assert [(row.state, row.reason) for row in output.days] == [("waiting", "waits for t_a")]
    world.advance(world.now + timedelta(hours=1))
    assert newly_requested(world) == ["acme/b/2026-03-01/v1/a1"]


def test_after_wait_at_most_a_day_runs_without_what_it_reads_and_once_more_when_that_is_there(
    make: Callable[..., World],
) -> None:
    reader = target("acme", "b", "a", wait_at_most=timedelta(hours=2))
    world = make(target("acme", paused=True), reader, now=at(START + DAY, 6))
    assert newly_requested(world) == []
    world.now = at(START + DAY, 8)
    (launch,) = world.planner.catch_up(world.on)
    assert launch.key == "acme/b/2026-03-01/v0/a1"
    world.requests.take(launch.key, launch.claim, "run of b", None, reader.quota, lambda _: None)
    world.publish(reader, [START], "run of b")
    world.publish(world.targets[0], [START], "by hand")
    world.requests.record_outcome(launch.key, "succeeded")
    assert [again.key for again in world.planner.catch_up(world.on)] == ["acme/b/2026-03-01/v2/a1"]


def test_what_was_published_again_makes_its_readers_due_again(make: Callable[..., World]) -> None:
    world = make(target("acme"), target("acme", "b", "a"), now=at(START + DAY, 6))
    for _ in range(3):
        world.tick()
        world.advance(world.now + timedelta(hours=1))
    assert world.outstanding_days() == []
    world.publish(world.targets[0], [START], "by hand")
    assert newly_requested(world) == ["acme/b/2026-03-01/v3/a1"]
    world.advance(world.now + timedelta(hours=1))
    assert newly_requested(world) == []
    assert world.outstanding_days() == []


def test_a_failed_day_is_tried_again_later_and_given_up_in_the_end(make: Callable[..., World]) -> None:
    world = make(target("acme"), now=at(START + DAY, 6))
    world.fail_share = 1.0
    for attempt in range(1, len(RETRY_AFTER) + 2):
        assert newly_requested(world) == [f"acme/a/2026-03-01/v0/a{attempt}"]
        world.advance(world.now + timedelta(minutes=30))
        assert newly_requested(world) == []  # its failure is noticed
        if attempt <= len(RETRY_AFTER):
            world.advance(world.now + RETRY_AFTER[attempt - 1] - timedelta(minutes=1))
            assert not any(launch.first == START for launch in world.tick())
            world.advance(world.now + timedelta(minutes=1))
    (explained,) = explain(world.store, world.targets)
    given_up = [row for row in explained.days if row.state == "gave_up"]
    assert given_up
    assert "given up after 7 attempts" in given_up[0].reason


def test_an_interrupted_day_is_asked_for_again_at_once_three_times_as_the_same_attempt(
    make: Callable[..., World],
) -> None:
    quota = Quota("acme", "UTC", 4, 5, 100)
    world = make(target("acme", quota=quota), now=at(START + DAY, 6))
    world.interrupted_share = 1.0
    for number in range(4):
        again = f"i{number}" if number else ""
        assert newly_requested(world) == [f"acme/a/2026-03-01/v0/a1{again}"]
        world.advance(world.now + timedelta(minutes=30))
    assert newly_requested(world) == [], "the fourth is a failure: it waits"
    world.advance(world.now + RETRY_AFTER[0])
    assert newly_requested(world) == ["acme/a/2026-03-01/v0/a2i3"]
    with world.store.read() as connection:
        assert runs_used(connection, [quota], world.now)["acme"].daily == 1, (
            "what was interrupted uses nothing of the plan"
        )
    world.interrupted_share = 0.0
    world.advance(world.now + timedelta(minutes=30))
    assert newly_requested(world) == []
    assert world.outstanding_days() == []


def test_an_interrupted_run_of_a_published_day_that_was_asked_for_is_asked_for_again(
    make: Callable[..., World],
) -> None:
    world = make(target("acme"), now=at(START + DAY, 6))
    world.tick()
    world.advance(world.now + timedelta(hours=1))
    assert newly_requested(world) == []
    ask_for(world, "acme", START)
    (first,) = world.tick()
    world.interrupted_share = 1.0
    world.advance(world.now + timedelta(minutes=30))
    (again,) = world.tick()
    assert (first.asked_by, again.asked_by) == ("key_1", "key_1")
    assert first.key != again.key


def test_days_that_were_interrupted_one_by_one_are_asked_for_together_under_a_key_of_their_own(
    make: Callable[..., World],
) -> None:
    world = make(target("acme"), now=at(START + 3 * DAY, 6))
    world.interrupted_share = 1.0
    keys: list[str] = []
    for _ in range(60):
        for launch in world.tick():
            assert launch.key not in keys, "Dagster skips a key that it knows"
            keys.append(launch.key)
        world.advance(world.now + timedelta(hours=1))
    with world.store.write("planner") as connection:
        rows = partition_states.all_outstanding(connection)
        due_now = [replace(row, state="due", interruptions=0, attempts=0, wake_at=world.now) for row in rows]
        partition_states.write_outstanding(connection, due_now)
    again = [launch.key for launch in world.tick()]
    assert again
    assert not set(again) & set(keys)


def test_whatever_is_interrupted_every_day_is_published_once(make: Callable[..., World]) -> None:
    world = make(*(target(name) for name in ("acme", "globex")), target("acme", "b", "a"), now=at(START + 5 * DAY, 6))
    world.interrupted_share = 0.5
    for _ in range(400):
        world.tick()
        world.advance(world.now + timedelta(minutes=10))
    assert world.outstanding_days() == []
    assert set(world.published.values()) == {1}


def test_a_paused_pipeline_is_left_alone_and_caught_up_when_it_is_resumed(make: Callable[..., World]) -> None:
    world = make(target("acme"), target("globex"))
    Pauses(world.store).pause("acme", None, "ann", "export is moved")
    assert {launch.target.tenant_id for launch in world.tick()} == {"globex"}
    (explained, _) = explain(world.store, world.targets)
    assert explained.paused
    assert "paused by ann" in explained.paused
    assert "export is moved" in explained.paused
    assert Pauses(world.store).resume("acme", None)
    assert {launch.target.tenant_id for launch in world.tick()} == {"acme"}


def test_a_schedule_that_is_switched_off_asks_for_nothing(make: Callable[..., World]) -> None:
    world = make(target("acme"))
    assert world.planner.catch_up(frozenset()) == []


def test_a_day_that_another_run_holds_is_asked_for_when_it_is_free(make: Callable[..., World]) -> None:
    world = make(target("acme"), now=at(START + DAY, 6))
    lock = Locks(world.store).acquire(Claim("acme", "a", START, START), "somebody's")
    assert newly_requested(world) == []
    Locks(world.store).release([lock.fence])
    assert newly_requested(world) == ["acme/a/2026-03-01/v0/a1"]


def test_a_request_that_no_run_was_made_for_is_handed_out_again_under_its_key(make: Callable[..., World]) -> None:
    world = make(target("acme"), now=at(START + DAY, 6))
    (lost,) = world.planner.catch_up(world.on)
    assert world.planner.catch_up(world.on) == []
    world.now += LOST_AFTER + timedelta(seconds=1)
    assert world.planner.catch_up(world.on) == [lost]


def test_one_place_of_a_plan_is_kept_for_the_newest_day(make: Callable[..., World]) -> None:
    world = make(target("acme", start_date=START), now=at(START + 100 * DAY, 5))
    (newest,) = world.planner.due(("0 6 * * *", "UTC"))
    world.publish(world.targets[0], [newest.first], "the newest")
    world.requests.record_outcome(newest.key, "succeeded")
    asked_for = [launch for _ in range(5) for launch in world.planner.catch_up(world.on)]
    older = [launch for launch in asked_for if not launch.newest]
    assert len(older) == 3
    assert all((launch.last - launch.first).days < CATCH_UP_DAYS for launch in older)
    world.now = at(START + 100 * DAY, 6)
    assert [launch.newest for launch in world.planner.due(("0 6 * * *", "UTC"))] == [True]


def test_no_tick_asks_for_more_than_dagster_can_make_and_every_tenant_has_its_turn(make: Callable[..., World]) -> None:
    world = make(*(target(f"tenant_{n:03d}") for n in range(120)), now=at(START + DAY, 6))
    sizes = [len(world.planner.catch_up(world.on)) for _ in range(3)]
    assert sizes == [REQUESTS_A_TICK, REQUESTS_A_TICK, 20]


@pytest.mark.parametrize(("daily", "monthly", "again"), [(2, 99, at(START + 4 * DAY)), (99, 2, at(date(2026, 4, 1)))])
def test_a_used_up_plan_delays_days_until_there_is_more_of_it_and_a_failed_run_does_not_count(
    make: Callable[..., World], daily: int, monthly: int, again: datetime
) -> None:
    quota = Quota("acme", "UTC", 9, daily, monthly)
    world = make(*(target("acme", name, quota=quota, start_date=START + 2 * DAY) for name in "abcd"))
    world.fail_share = 1.0
    assert len(world.tick()) == 2
    delayed = [row for explained in explain(world.store, world.targets) for row in explained.days if row.state == "due"]
    assert [row.wake_at for row in delayed] == [again, again]
    with pytest.raises(OverLimit, match=r"runs of the (day|month) are used"):
        world.requests.begin(Claim("acme", "e", START, START), "by hand", "manual", quota, lambda _: "succeeded")
    world.advance(world.now + timedelta(hours=1))
    world.tick()  # both failed, and give their places back
    assert world.requests.begin(Claim("acme", "e", START, START), "by hand", "manual", quota, lambda _: None)


def test_two_daemons_at_once_ask_for_every_day_once(make: Callable[..., World]) -> None:
    world = make(*(target(f"tenant_{n}") for n in range(20)))
    found: list[str] = []
    barrier = threading.Barrier(6)

    def daemon() -> None:
        barrier.wait()
        for _ in range(4):
            found.extend(launch.key for launch in world.planner.catch_up(world.on))

    threads = [threading.Thread(target=daemon) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 40


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"]),
    st.sampled_from(["0 6 * * *", "30 2 * * *", "0 0 * * *", "15 5 * * 1-5", "*/20 * * * *"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
)
def test_a_day_is_due_exactly_from_its_moment_on(zone: str, cron: str, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    through = due.due_through(cron, zone, now)
    assert due.due_at(cron, zone, through) <= now
    assert due.due_at(cron, zone, through + DAY) > now


def test_a_crowded_minute_is_spread_by_tenant_and_a_quiet_one_is_not() -> None:
    tenants = [f"tenant_{n}" for n in range(1000)]
    assert {due.jitter(tenant, 40) for tenant in tenants} == {timedelta()}
    spread = [due.jitter(tenant, 1000) for tenant in tenants]
    assert spread == [due.jitter(tenant, 1000) for tenant in tenants]
    minutes = Counter(wait // timedelta(minutes=1) for wait in spread)
    assert set(minutes) == set(range(25))
    assert max(minutes.values()) < 2 * due.PIPELINES_A_MINUTE
