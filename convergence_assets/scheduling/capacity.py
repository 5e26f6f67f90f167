"""What may be requested now: the capacity left by plans and runs in flight, days joined to runs, tenants in turn."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.locks import Claim, Lock, Locks
from convergence_assets.control.partition_states import Name, PendingPartition, Request
from convergence_assets.control.run_requests import runs_used
from convergence_assets.scheduling.targets import Target

CATCH_UP_IN_FLIGHT = 20
"""The limit of runs in flight for other days than a pipeline's newest, in the whole deployment."""
CATCH_UP_DAYS = 30
"""The limit of consecutive days of one such run."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Launch:
    """A run to be launched: the same key never launches twice. `newest` is the pipeline's last due day, `asked_by` the
    API key that requested it."""

    key: str
    target: Target
    first: date
    last: date
    newest: bool
    asked_by: str | None = None

    @property
    def trigger(self) -> str:
        if self.asked_by:
            return "api"
        return "schedule" if self.newest else "catch_up"

    @property
    def claim(self) -> Claim:
        return Claim(self.target.tenant_id, self.target.pipeline, self.first, self.last)


class Capacity:
    """The capacity that plans and runs in flight leave."""

    def __init__(
        self,
        connection: sa.Connection,
        locks: Locks,
        targets: Collection[Target],
        planned: Collection[Request],
        now: datetime,
    ) -> None:
        """`planned` are the planner's requests whose end it has not seen."""
        quotas = {target.quota.tenant_id: target.quota for target in targets}
        self._now = now
        self._used = dict(runs_used(connection, quotas.values(), now))
        self._in_flight = Counter(request.tenant_id for request in planned)
        self.catching_up = Counter(request.tenant_id for request in planned if request.trigger == "catch_up")
        self._api_requests = Counter(request.tenant_id for request in planned if request.trigger == "api")
        self._locks: dict[Name, list[Lock]] = defaultdict(list)
        run_ids = {request.run_id for request in planned}
        running: dict[str, set[str]] = defaultdict(set)
        for lock in locks.living(connection):
            self._locks[lock.claim.tenant_id, lock.claim.pipeline].append(lock)
            if lock.run_id not in run_ids:
                running[lock.claim.tenant_id].add(lock.run_id)
        for tenant_id, runs in running.items():
            self._in_flight[tenant_id] += len(runs)

    def exhausted(self, target: Target) -> tuple[str, datetime] | None:
        return self._used[target.tenant_id].exhausted(target.quota, self._now)

    def has_free_run(self, target: Target) -> bool:
        return self._in_flight[target.tenant_id] < target.quota.concurrent_runs

    def for_catch_up(self, target: Target) -> bool:
        """Whether an older day may be requested: one slot of a tenant's plan is reserved for its newest day."""
        in_flight = self.catching_up[target.tenant_id] + self._api_requests[target.tenant_id]
        return in_flight < _beside_the_newest(target) and self.catching_up.total() < CATCH_UP_IN_FLIGHT

    def for_request(self, target: Target) -> bool:
        """Whether an older day that was requested over the API may run: no outstanding day counts, not even its own."""
        return self._api_requests[target.tenant_id] < _beside_the_newest(target)

    def held_by_another(self, target: Target, first: date, last: date) -> Lock | None:
        """The lock of a run on one of these days."""
        overlapping = (
            lock for lock in self._locks[target.name] if lock.claim.first <= last and first <= lock.claim.last
        )
        return next(overlapping, None)

    def refusal(self, target: Target, day: date, *, newest: bool, asked_for: bool) -> str | None:
        """Why a due day is not requested now; None where it may be."""
        if exhausted := self.exhausted(target):
            return f"the plan's limit: {exhausted[0]}"
        if lock := self.held_by_another(target, day, day):
            return f"run {lock.run_id} works on it"
        if not self.has_free_run(target):
            running = self._in_flight[target.tenant_id]
            return f"the plan is full: {running} of {target.quota.concurrent_runs} runs at once"
        if newest or (self.for_request(target) if asked_for else self.for_catch_up(target)):
            return None
        of_tenant, all_ = (
            self.catching_up[target.tenant_id] + self._api_requests[target.tenant_id],
            self.catching_up.total(),
        )
        return f"runs for older days are in progress: {of_tenant} of this tenant, {all_} of all"

    def take_slot(self, launch: Launch) -> None:
        tenant_id = launch.target.tenant_id
        self._in_flight[tenant_id] += 1
        self.catching_up[tenant_id] += launch.trigger == "catch_up"
        self._api_requests[tenant_id] += launch.trigger == "api"
        before = self._used[tenant_id]
        self._used[tenant_id] = replace(before, daily=before.daily + 1, monthly=before.monthly + 1)


def _beside_the_newest(target: Target) -> int:
    return max(target.quota.concurrent_runs - 1, 1)


def stretches(rows: Sequence[PendingPartition]) -> Iterator[list[PendingPartition]]:
    """Days of one pipeline grouped into runs: consecutive untried days together, each that failed before by itself."""
    stretch: list[PendingPartition] = []
    for row in sorted(rows, key=lambda row: row.day):
        joins = (
            stretch
            and len(stretch) < CATCH_UP_DAYS
            and row.day - stretch[-1].day == _DAY
            and row.attempts == stretch[-1].attempts == 0
            and row.asked_by == stretch[-1].asked_by
        )
        if stretch and not joins:
            yield stretch
            stretch = []
        stretch.append(row)
    if stretch:
        yield stretch


def in_turn(
    stretches: Sequence[tuple[Target, list[PendingPartition]]],
) -> Iterator[tuple[Target, list[PendingPartition]]]:
    """Each tenant's first, then each one's second, and so on."""
    turns: Counter[str] = Counter()
    numbered = []
    for position, (target, stretch) in enumerate(stretches):
        numbered.append((turns[target.tenant_id], position, target, stretch))
        turns[target.tenant_id] += 1
    for _, _, target, stretch in sorted(numbered, key=lambda n: n[:2]):
        yield target, stretch
