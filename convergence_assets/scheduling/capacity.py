"""What may be asked for now: what plans and runs in flight leave room for, days joined to runs, tenants in turn."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.locks import Claim, Lock, Locks
from convergence_assets.control.partition_states import Name, PendingPartition, Request
from convergence_assets.control.run_requests import used
from convergence_assets.scheduling.targets import Target

CATCH_UP_IN_FLIGHT = 20
"""So many runs for other days than a pipeline's newest are in flight at most, in all of the deployment."""
CATCH_UP_DAYS = 30
"""So many neighbouring days one such run covers at most."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Launch:
    """A run to be made: the same key never launches twice. `newest` is the pipeline's last due day, `asked_by` the API
    key of who asked for it."""

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
    """What the plans and the runs in flight leave room for."""

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
        self._used = dict(used(connection, quotas.values(), now))
        self._in_flight = Counter(request.tenant_id for request in planned)
        self.catching_up = Counter(request.tenant_id for request in planned if request.trigger == "catch_up")
        self._asked = Counter(request.tenant_id for request in planned if request.trigger == "api")
        self._held: dict[Name, list[Lock]] = defaultdict(list)
        known = {request.run_id for request in planned}
        running: dict[str, set[str]] = defaultdict(set)
        for lock in locks.living(connection):
            self._held[lock.claim.tenant_id, lock.claim.pipeline].append(lock)
            if lock.run_id not in known:
                running[lock.claim.tenant_id].add(lock.run_id)
        for tenant_id, runs in running.items():
            self._in_flight[tenant_id] += len(runs)

    def exhausted(self, target: Target) -> tuple[str, datetime] | None:
        return self._used[target.tenant_id].exhausted(target.quota, self._now)

    def free(self, target: Target) -> bool:
        return self._in_flight[target.tenant_id] < target.quota.concurrent_runs

    def for_catch_up(self, target: Target) -> bool:
        """Whether an older day may be asked for: one place of a tenant's plan is kept for its newest day."""
        own = self.catching_up[target.tenant_id] + self._asked[target.tenant_id]
        return own < _beside_the_newest(target) and self.catching_up.total() < CATCH_UP_IN_FLIGHT

    def for_asked(self, target: Target) -> bool:
        """Whether an older day may be that somebody asked for: no backlog counts, its own as little as others'."""
        return self._asked[target.tenant_id] < _beside_the_newest(target)

    def held_by_another(self, target: Target, first: date, last: date) -> Lock | None:
        """The lock of a run that works on one of these days."""
        held = (lock for lock in self._held[target.name] if lock.claim.first <= last and first <= lock.claim.last)
        return next(held, None)

    def refusal(self, target: Target, day: date, *, newest: bool, asked_for: bool) -> str | None:
        """Why a day is not asked for now, though it is due; None where it may be."""
        if exhausted := self.exhausted(target):
            return f"the plan's limit: {exhausted[0]}"
        if lock := self.held_by_another(target, day, day):
            return f"run {lock.run_id} works on it"
        if not self.free(target):
            running = self._in_flight[target.tenant_id]
            return f"the plan is full: {running} of {target.quota.concurrent_runs} runs at once"
        if newest or (self.for_asked(target) if asked_for else self.for_catch_up(target)):
            return None
        own, all_ = self.catching_up[target.tenant_id] + self._asked[target.tenant_id], self.catching_up.total()
        return f"runs for older days are in progress: {own} of this tenant, {all_} of all"

    def take(self, launch: Launch) -> None:
        tenant_id = launch.target.tenant_id
        self._in_flight[tenant_id] += 1
        self.catching_up[tenant_id] += launch.trigger == "catch_up"
        self._asked[tenant_id] += launch.trigger == "api"
        before = self._used[tenant_id]
        self._used[tenant_id] = replace(before, daily=before.daily + 1, monthly=before.monthly + 1)


def _beside_the_newest(target: Target) -> int:
    return max(target.quota.concurrent_runs - 1, 1)


def stretches(rows: Sequence[PendingPartition]) -> Iterator[list[PendingPartition]]:
    """Days of one pipeline as runs: neighbours that were never tried together, one that failed before by itself."""
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
