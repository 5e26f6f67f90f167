"""Any sequence of asking, releasing, dying, living on and waiting does what a model of a few lines does."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import make_url

from convergence_assets.control.locks import Claim, Lock, LockLost, Locks, Refused
from convergence_assets.control.store import ControlStore
from convergence_assets.process import Owner
from tests.examples import examples

FIRST = date(2026, 3, 1)
RUNS = st.sampled_from([f"run{n}" for n in range(5)])


class LocksAsTheModelSays(RuleBasedStateMachine):
    """A run is a process here; its death is for good."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = datetime(2026, 3, 10, tzinfo=UTC)
        self.store = ControlStore(make_url(f"sqlite:///{Path(self.folder.name, 'control.db')}"), lambda: self.now)
        self.dead: set[str] = set()
        self.over: set[str] = set()
        self.held: dict[int, tuple[str, str, set[int], datetime]] = {}  # fence: run, pipeline, days, heartbeat
        self.taken: dict[str, list[Lock]] = {}
        self.last_fence = 0

    def locks(self, run: str) -> Locks:
        return Locks(self.store, Owner(run, "", "", 1, ""), gone=lambda owner: owner.host in self.dead)

    @rule(run=RUNS, pipeline=st.sampled_from(["costs", "focus"]), first=st.integers(0, 6), more=st.integers(0, 3))
    def ask(self, run: str, pipeline: str, first: int, more: int) -> None:
        days = set(range(first, first + more + 1))
        others = {
            fence: (run_id, beaten)
            for fence, (run_id, on, held, beaten) in self.held.items()
            if on == pipeline and held & days and run_id != run
        }
        living = {
            run_id
            for run_id, beaten in others.values()
            if run_id not in self.dead | self.over and self.now - beaten <= timedelta(seconds=60)
        }
        claim = Claim("acme", pipeline, FIRST + timedelta(first), FIRST + timedelta(first + more))

        def acquire() -> Lock:
            return self.locks(run).acquire(claim, run, lambda run_id: run_id in self.over)

        if living:
            with pytest.raises(Refused) as refused:
                acquire()
            assert refused.value.holder.run_id in living
            return
        lock = acquire()
        assert lock.fence > self.last_fence
        self.last_fence = lock.fence
        for fence in others:
            del self.held[fence]
        self.held[lock.fence] = (run, pipeline, days, self.now)
        self.taken.setdefault(run, []).append(lock)

    @rule(run=RUNS)
    def publish(self, run: str) -> None:
        for lock in self.taken.get(run, []):
            try:
                self.locks(run).confirm(lock)
            except LockLost:
                assert lock.fence not in self.held
            else:
                self.beaten(lock.fence)

    @rule(run=RUNS)
    def live_on(self, run: str) -> None:
        of_run = [fence for fence, (run_id, *_) in self.held.items() if run_id == run]
        assert self.locks(run).beat(of_run) == len(of_run)
        for fence in of_run:
            self.beaten(fence)

    def beaten(self, fence: int) -> None:
        self.held[fence] = (*self.held[fence][:3], self.now)

    @rule(run=RUNS)
    def release(self, run: str) -> None:
        self.locks(run).release([lock.fence for lock in self.taken.pop(run, [])])
        self.held = {fence: row for fence, row in self.held.items() if row[0] != run}

    @rule(run=RUNS)
    def die(self, run: str) -> None:
        self.dead.add(run)

    @rule(run=RUNS)
    def end_in_dagster(self, run: str) -> None:
        self.over.add(run)

    @rule(seconds=st.sampled_from([1, 30, 60, 61]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        found = {
            lock.fence: (
                lock.run_id,
                lock.claim.pipeline,
                set(range((lock.claim.first - FIRST).days, (lock.claim.last - FIRST).days + 1)),
                lock.heartbeat_at,
            )
            for lock in self.locks("").all()
        }
        assert found == self.held

    @invariant()
    def no_day_belongs_to_two_runs(self) -> None:
        owners: dict[tuple[str, int], str] = {}
        for run, pipeline, days, _ in self.held.values():
            for day in days:
                assert owners.setdefault((pipeline, day), run) == run

    def teardown(self) -> None:
        self.folder.cleanup()


TestLockSequences = LocksAsTheModelSays.TestCase
TestLockSequences.settings = settings(
    max_examples=examples(8), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLockSequences = pytest.mark.property(TestLockSequences)
