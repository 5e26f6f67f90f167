"""What a lock refuses, when it is free, and what a run that lost one may still do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import STALE_AFTER, Claim, Lock, LockLost, Locks, Refused
from convergence_assets.control.store import ControlStore
from convergence_assets.process import Owner, is_gone, this_process
from convergence_assets.settings import Settings

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(31)]
ELSEWHERE = Owner("another-host", "its-boot", "its-space", 1, "1")


@dataclass
class Clock:
    time: datetime = field(default_factory=lambda: datetime(2026, 3, 10, 6, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, **duration: float) -> None:
        self.time += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> ControlStore:
    return ControlStore.open(Settings.from_env({"CONVERGENCE_CONTROL_URL": url}), {}, clock)


@pytest.fixture
def holding(store: ControlStore) -> Iterator[LockSession]:
    found = LockSession(store, heartbeat_seconds=0.05)
    yield found
    found.close()


def claim(first: int, last: int | None = None, pipeline: str = "costs", tenant: str = "acme") -> Claim:
    return Claim(tenant, pipeline, DAYS[first], DAYS[first if last is None else last])


@pytest.mark.parametrize(
    "requested", [claim(10), claim(14), claim(8, 10), claim(14, 20), claim(11, 12), claim(0, 30)], ids=str
)
def test_a_range_is_refused_where_it_shares_a_day_with_another_runs(store: ControlStore, requested: Claim) -> None:
    held = Locks(store).acquire(claim(10, 14), "one")
    with pytest.raises(Refused) as refused:
        Locks(store).acquire(requested, "two")
    assert refused.value.holder == held
    assert Locks(store).all() == [held]


@pytest.mark.parametrize(
    "requested",
    [claim(9), claim(15), claim(0, 9), claim(15, 30), claim(10, 14, pipeline="focus"), claim(10, 14, tenant="globex")],
    ids=str,
)
def test_other_days_pipelines_and_tenants_are_not_blocked(store: ControlStore, requested: Claim) -> None:
    one = Locks(store).acquire(claim(10, 14), "one")
    two = Locks(store).acquire(requested, "two")
    assert two.fence > one.fence
    assert Locks(store).all() == [one, two]


def test_a_range_is_taken_whole_or_not_at_all(store: ControlStore) -> None:
    locks = Locks(store)
    locks.acquire(claim(3), "one")
    with pytest.raises(Refused):
        locks.acquire(claim(0, 30), "two")
    locks.acquire(claim(0, 2), "three")
    locks.acquire(claim(4, 30), "four")


def test_a_holder_on_another_host_is_free_after_a_minute_of_silence_and_not_before(
    store: ControlStore, clock: Clock
) -> None:
    far = Locks(store, ELSEWHERE)
    held = far.acquire(claim(10), "far")
    clock.pass_by(seconds=50)
    far.beat([held.fence])
    clock.pass_by(seconds=60)
    with pytest.raises(Refused):
        Locks(store).acquire(claim(10), "near")
    clock.pass_by(seconds=1)
    near = Locks(store).acquire(claim(10), "near")
    assert near.fence > held.fence
    with pytest.raises(LockLost, match=r"run far lost its lock .* now run near holds it since 2026-03-10T06:01:51Z"):
        far.confirm(held)


def test_a_run_that_asks_before_it_publishes_is_safe_for_another_minute(store: ControlStore, clock: Clock) -> None:
    far = Locks(store, ELSEWHERE)
    held = far.acquire(claim(10), "far")
    clock.pass_by(minutes=5)  # silent for long, and nobody came
    far.confirm(held)
    clock.pass_by(seconds=STALE_AFTER.seconds)
    with pytest.raises(Refused):
        Locks(store).acquire(claim(10), "near")


def test_a_lock_whose_run_dagster_calls_over_is_free_and_only_runs_in_the_way_are_asked_about(
    store: ControlStore,
) -> None:
    locks, run_ids = Locks(store), []

    def is_over(run_id: str) -> bool:
        run_ids.append(run_id)
        return run_id.startswith("over")

    for day, run_id in enumerate(["over0", "over1", "other"]):
        locks.acquire(claim(day), run_id)
    with pytest.raises(Refused) as refused:
        locks.acquire(claim(0, 2), "new", is_over)
    assert refused.value.holder.run_id == "other"
    locks.acquire(claim(0, 1), "new", is_over)
    assert set(run_ids) == {"over0", "over1", "other"}
    assert [lock.run_id for lock in locks.all()] == ["other", "new"]


def test_a_lock_from_before_this_host_started_again_is_free(store: ControlStore) -> None:
    here = this_process()
    before = Owner(here.host, "an earlier boot", here.space, here.process, here.started)
    Locks(store, before).acquire(claim(10), "before")
    assert Locks(store).acquire(claim(10), "after")


def test_another_process_with_a_reused_id_is_not_taken_for_the_holder(store: ControlStore) -> None:
    here = this_process()
    Locks(store, Owner(here.host, here.boot_id, here.space, here.process, "0")).acquire(claim(10), "before")
    assert Locks(store).acquire(claim(10), "after")


def test_a_run_on_cloud_run_is_not_taken_for_dead_by_another_one_on_a_host_of_the_same_name(
    store: ControlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "convergence-run-00001")
    other = Owner(this_process().host, "its own boot", "pid:[1]", 1, "0")
    Locks(store, other).acquire(claim(10), "other")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "convergence-run-00002")
    assert is_gone(other) is None
    with pytest.raises(Refused):
        Locks(store).acquire(claim(10), "here")
    monkeypatch.delenv("CLOUD_RUN_EXECUTION")
    assert is_gone(other) is None  # as the daemon sees it


def test_a_holder_in_another_container_of_this_host_is_believed_until_it_is_silent(store: ControlStore) -> None:
    here = this_process()
    contained = Owner(here.host, here.boot_id, "pid:[1]", 2**22 + 1, "0")
    assert is_gone(contained) is None
    Locks(store, contained).acquire(claim(10), "contained")
    with pytest.raises(Refused):
        Locks(store).acquire(claim(10), "here")


def test_a_lock_released_by_hand_is_lost_to_its_run_for_good(store: ControlStore, holding: LockSession) -> None:
    held = holding.hold_lock(claim(10), "one")
    assert Locks(store).release([held.fence]) == 1
    for _ in range(2):  # also at a later step of the run, though the days are free
        with pytest.raises(LockLost, match=r"now it is free.*Next: run the partition again"):
            holding.locks.confirm(holding.hold_lock(claim(10), "one"))


def test_the_steps_of_a_run_share_its_lock(store: ControlStore, holding: LockSession) -> None:
    assert (
        holding.hold_lock(claim(0, 6), "one")
        == holding.hold_lock(claim(0, 6), "one")
        == holding.hold_lock(claim(3), "one")
    )
    assert holding.hold_lock(claim(0, 6, pipeline="focus"), "one").fence > holding.hold_lock(claim(0), "one").fence
    holding.release_run("one")
    assert Locks(store).all() == []


def test_a_process_says_that_it_lives_while_it_works(store: ControlStore, holding: LockSession, clock: Clock) -> None:
    held = holding.hold_lock(claim(0), "one")
    clock.pass_by(seconds=45)
    wait_until(lambda: Locks(store).all()[0].heartbeat_at > held.heartbeat_at)


def test_a_fence_is_never_used_twice(store: ControlStore) -> None:
    locks, fences = Locks(store), []
    for _ in range(3):
        held: Lock = locks.acquire(claim(10), "one")
        fences.append(held.fence)
        locks.release([held.fence])
    assert fences == sorted(set(fences))


def wait_until(true: Callable[[], bool]) -> None:
    from time import monotonic, sleep

    deadline = monotonic() + 20
    while not true():
        assert monotonic() < deadline
        sleep(0.01)
