"""One run at a time on a tenant's pipeline and days: who holds the lock, and whether the holder is alive."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import locks as table
from convergence_assets.process import Owner, is_gone, this_process

HEARTBEAT_SECONDS = 10
STALE_AFTER = timedelta(seconds=60)


@dataclass(frozen=True)
class Claim:
    """The days [first, last] of one pipeline of one tenant."""

    tenant_id: str
    pipeline: str
    first: date
    last: date

    def __post_init__(self) -> None:
        assert self.first <= self.last, self

    def covers(self, other: "Claim") -> bool:
        """Whether these days include every day of `other`."""
        same = (self.tenant_id, self.pipeline) == (other.tenant_id, other.pipeline)
        return same and self.first <= other.first and other.last <= self.last

    @classmethod
    def of_all_days(cls, tenant_id: str, pipeline: str) -> "Claim":
        """Every day there can be."""
        return cls(tenant_id, pipeline, date.min, date.max)

    @classmethod
    def of_no_day(cls, tenant_id: str, pipeline: str) -> "Claim":
        """A claim beside all days, of work that counts as a run of the pipeline and is done once at a time."""
        return cls(tenant_id, pipeline, date.max, date.max)

    @property
    def partition(self) -> str:
        if self.last == date.max:
            return "upgrade" if self.first == date.max else "every day"
        return str(self.first) if self.first == self.last else f"{self.first}...{self.last}"

    def __str__(self) -> str:
        return f"tenant {self.tenant_id}, pipeline {self.pipeline}, partition {self.partition}"


@dataclass(frozen=True)
class Lock:
    """A claim that a process of a run holds or held; `fence` grows with each lock taken in the store."""

    claim: Claim
    run_id: str
    owner: Owner
    fence: int
    acquired_at: datetime
    heartbeat_at: datetime


class Refused(Exception):
    """Another run holds some of the claimed days: `holder`. The message names it and the next step."""

    def __init__(self, claim: Claim, holder: Lock) -> None:
        holding = holder.claim
        day = f" --partition {max(claim.first, holding.first)}"
        super().__init__(
            f"{claim}: run {holder.run_id} ({holder.owner}) holds the lock on partition {holding.partition} since "
            f"{holder.acquired_at:%Y-%m-%dT%H:%M:%SZ}; nothing was done here. Next: wait for that run, or if it does "
            f"nothing any more, `convergence locks release {holding.tenant_id} {holding.pipeline}{day}`"
        )
        self.claim, self.holder = claim, holder


class LockLost(Exception):
    """A lock was released or taken by another run while its run was active; the message gives the next step."""

    def __init__(self, lock: Lock, holder: Lock | None) -> None:
        now = f"run {holder.run_id} holds it since {holder.acquired_at:%Y-%m-%dT%H:%M:%SZ}" if holder else "it is free"
        super().__init__(
            f"{lock.claim}: run {lock.run_id} lost its lock (fence {lock.fence}; now {now}); it was released by hand, "
            f"or this run gave no sign of life for {STALE_AFTER.seconds} s. Nothing was published by this step. Next: "
            + ("wait for that run" if holder else "run the partition again")
        )
        self.lock, self.holder = lock, holder


class Locks:
    """The locks of a store, as one process sees them.

    A lock is free once it is released, its process has provably ended, its heartbeat is older than `STALE_AFTER`, or
    Dagster reports its run as over. Heartbeats use the holders' clocks: hosts that share a store must agree on the time
    to within half a minute. Every method raises `ControlError` where the store fails.
    """

    def __init__(
        self, store: ControlStore, owner: Owner | None = None, gone: Callable[[Owner], bool | None] = is_gone
    ) -> None:
        self._store = store
        self._owner = owner or this_process()
        self._gone = gone

    def acquire(self, claim: Claim, run_id: str, is_over: Callable[[str], bool] = lambda run_id: False) -> Lock:
        """Take all days of the claim, or none: raises `Refused` where another run holds one of them.

        `is_over` says whether a run has ended; it is called outside any transaction, only for conflicting runs.
        Two processes of one run do not refuse each other.
        """
        over: set[str] = set()
        while True:
            with self._store.write(f"lock:{claim.tenant_id}/{claim.pipeline}") as connection:
                # For update: a holder that has just written a heartbeat must not lose the row that was read before.
                others = [lock for lock in _locks(connection, claim, for_update=True) if lock.run_id != run_id]
                living = [lock for lock in others if lock.run_id not in over and self.free_because(lock) is None]
                if not living:
                    _delete(connection, [lock.fence for lock in others])
                    return self._insert(connection, claim, run_id)
            ended = {lock.run_id for lock in living if is_over(lock.run_id)}
            if not ended:
                raise Refused(claim, living[0])
            over |= ended

    def confirm(self, lock: Lock) -> None:
        """Raise `LockLost` unless the lock is still this one's; afterwards it cannot turn stale for `STALE_AFTER`."""
        if self.beat([lock.fence]) == 1:
            return
        with self._store.read() as connection:
            others = [other for other in _locks(connection, lock.claim) if other.run_id != lock.run_id]
        raise LockLost(lock, others[0] if others else None)

    def refuse_lost(self, connection: sa.Connection, lock: Lock) -> None:
        """Raise `LockLost` unless the lock is still this one's; no other can take it before the transaction's end."""
        held = sa.select(table.c.fence).where(table.c.fence == lock.fence).with_for_update()
        if connection.execute(held).first() is None:
            others = [other for other in _locks(connection, lock.claim) if other.run_id != lock.run_id]
            raise LockLost(lock, others[0] if others else None)

    def beat(self, fences: Collection[int]) -> int:
        """Write a heartbeat; how many of these locks still exist."""
        with self._store.write() as connection:
            _lock_rows(connection, fences)
            beaten = sa.update(table).where(table.c.fence.in_(fences)).values(heartbeat_at=self._store.now())
            return connection.execute(beaten).rowcount

    def release(self, fences: Collection[int]) -> int:
        """Release these locks; how many still existed."""
        with self._store.write() as connection:
            return _delete(connection, fences)

    def all(self, tenant_id: str | None = None, pipeline: str | None = None) -> Sequence[Lock]:
        """Every lock that was not released, the oldest first."""
        with self._store.read() as connection:
            return _locks(connection, tenant_id=tenant_id, pipeline=pipeline)

    def living(self, connection: sa.Connection, tenant_id: str | None = None) -> list[Lock]:
        """The locks that no other run may take, within a transaction."""
        return [lock for lock in _locks(connection, tenant_id=tenant_id) if self.free_because(lock) is None]

    def free_because(self, lock: Lock) -> str | None:
        """Why the next run may take this lock, as far as the store and this host know; None while it is held."""
        if self._gone(lock.owner):
            return "its process has ended"
        silent = self._store.now() - lock.heartbeat_at
        return f"no sign of life for {silent.total_seconds():.0f} s" if silent > STALE_AFTER else None

    def _insert(self, connection: sa.Connection, claim: Claim, run_id: str) -> Lock:
        now = self._store.now()
        row = {
            "tenant_id": claim.tenant_id,
            "pipeline": claim.pipeline,
            "first_day": claim.first,
            "last_day": claim.last,
            "run_id": run_id,
            "host": self._owner.host,
            "boot_id": self._owner.boot_id,
            "process_space": self._owner.space,
            "process": self._owner.process,
            "process_started": self._owner.started,
            "acquired_at": now,
            "heartbeat_at": now,
        }
        fence = connection.execute(sa.insert(table).values(row).returning(table.c.fence)).scalar_one()
        return Lock(claim, run_id, self._owner, fence, now, now)


def _locks(
    connection: sa.Connection,
    claim: Claim | None = None,
    *,
    tenant_id: str | None = None,
    pipeline: str | None = None,
    for_update: bool = False,
) -> list[Lock]:
    """The locks on any day of the claim, or of a tenant and pipeline; the oldest first."""
    query = sa.select(table).order_by(table.c.fence)
    if claim:
        tenant_id, pipeline = claim.tenant_id, claim.pipeline
        query = query.where(table.c.first_day <= claim.last, table.c.last_day >= claim.first)
    if tenant_id:
        query = query.where(table.c.tenant_id == tenant_id)
    if pipeline:
        query = query.where(table.c.pipeline == pipeline)
    if for_update:
        query = query.with_for_update()
    return [
        Lock(
            Claim(row.tenant_id, row.pipeline, row.first_day, row.last_day),
            row.run_id,
            Owner(row.host, row.boot_id, row.process_space, row.process, row.process_started),
            row.fence,
            row.acquired_at,
            row.heartbeat_at,
        )
        for row in connection.execute(query)
    ]


def _lock_rows(connection: sa.Connection, fences: Collection[int]) -> None:
    # In one order everywhere, so that no two transactions wait for each other.
    if len(fences) > 1:
        connection.execute(
            sa.select(table.c.fence).where(table.c.fence.in_(fences)).order_by("fence").with_for_update()
        )


def _delete(connection: sa.Connection, fences: Collection[int]) -> int:
    return connection.execute(sa.delete(table).where(table.c.fence.in_(fences))).rowcount if fences else 0
