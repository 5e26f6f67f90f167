"""Which partitions are asked for now: due, neither published nor in flight, what they read published, the plan not used
up. One transaction a tick, so that two daemons never ask for the same day.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states, publications
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.partition_states import Name, PendingPartition, Progress, Request
from convergence_assets.control.run_requests import Outcome, ask, forget, reissue_request, settle, unused_key
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.capacity import (
    CATCH_UP_DAYS,
    CATCH_UP_IN_FLIGHT,
    Capacity,
    Launch,
    in_turn,
    stretches,
)
from convergence_assets.scheduling.targets import Target, Targets
from convergence_assets.settings import Shard

REQUESTS_A_TICK = 50
"""So many runs one tick asks for at most: Dagster needs up to a second to make each."""
RETRY_AFTER = tuple(timedelta(minutes=m) for m in (5, 15, 60, 180, 360, 720))
"""How long after each failed attempt a day is tried again; after the last it is given up."""
INTERRUPTIONS = 3
"""So often a day whose run was interrupted is asked for again at once; from then on an interruption is an attempt."""
LOST_AFTER = timedelta(minutes=10)
"""A request for which there is no run after this time is handed out once more."""
PAUSED_FOR = timedelta(minutes=10)
"""How soon a day is looked at again that cannot be asked for; what frees it wakes it at once."""

_DAY = timedelta(days=1)
_WHOLE = Shard()
_NEVER = datetime.min.replace(tzinfo=UTC)
_RECENT = timedelta(days=8)  # the newest day of a weekly schedule is among them
_OLDER_OF_A_TENANT, _OLDER_IN_ALL = 60, 4000


@dataclass(frozen=True)
class Found:
    """What Dagster says of a request: the run that was made for it, and its outcome once it is over."""

    run_id: str
    outcome: Outcome | None


Lookup = Callable[[Sequence[Request]], Mapping[str, Found]]
"""What became of requests, by key; those without a run are left out."""


class Planner:
    """Decides over the targets of a deployment, or of one shard of it; keeps nothing between two ticks but what is in
    the store."""

    def __init__(self, store: ControlStore, targets: Targets, lookup: Lookup, shard: Shard = _WHOLE) -> None:
        self._store = store
        self._targets = targets
        self._lookup = lookup
        self._shard = shard

    def due(self, schedule: tuple[str, str]) -> list[Launch]:
        """The newest days of the pipelines on one schedule (cron, timezone), as its tick asks for them."""
        mine = [target for target in self._targets.by_name.values() if target.schedule == schedule]
        return self._tick(mine, frozenset({schedule}), catch_up=False)

    def catch_up(self, on: Collection[tuple[str, str]]) -> list[Launch]:
        """Everything that is due: missed, failed, late and unblocked days too. `on` are the schedules that are on."""
        return self._tick(list(self._targets.by_name.values()), frozenset(on), catch_up=True)

    def _tick(self, targets: Sequence[Target], on: frozenset[tuple[str, str]], *, catch_up: bool) -> list[Launch]:
        asked: Mapping[str, Found] = {}
        if catch_up:
            with self._store.read() as connection:
                waiting = [r for r in partition_states.open_requests(connection) if self._shard.holds(r.tenant_id)]
            asked = self._lookup(waiting) if waiting else {}
        with self._store.write("planner") as connection:
            tick = _Tick(self._store, connection, targets, self._targets, on, self._shard)
            if catch_up:
                forget(connection, tick.now)
                tick.settle(waiting, asked)
                tick.follow_publications()
            tick.open_newest()
            if catch_up:
                tick.open_older()
            return tick.choose(catch_up=catch_up)


class _Tick:
    """One tick within its transaction."""

    def __init__(
        self,
        store: ControlStore,
        connection: sa.Connection,
        targets: Sequence[Target],
        deployment: Targets,
        on: frozenset[tuple[str, str]],
        shard: Shard,
    ) -> None:
        self.now = store.now()
        self._connection = connection
        self._targets = targets
        self._all = deployment.by_name
        self._concerned = deployment.concerned
        self._locks = Locks(store)
        self._progress = partition_states.progress(connection)
        self._pauses = partition_states.all_pauses(connection)
        self._on = on
        self._shard = shard
        self._again: list[Launch] = []
        self._open = {request.key: request for request in partition_states.open_requests(connection)}

    def settle(self, waiting: Sequence[Request], found: Mapping[str, Found]) -> None:
        """What became of the runs that were asked for."""
        over: dict[str, Outcome] = {}
        for request in waiting:
            if request.key not in self._open:
                continue
            target, run = self._all.get((request.tenant_id, request.pipeline)), found.get(request.key)
            if run is None and request.outcome:  # Dagster has forgotten the run
                run = Found(request.run_id or "", request.outcome)
            if run is not None and run.outcome is not None:
                over[request.key] = run.outcome
                del self._open[request.key]
                self._settle_days(target, request, run)
            elif run is None and target and request.requested_at < self.now - LOST_AFTER:
                reissue_request(self._connection, request.key, self.now)
                newest = request.trigger == "schedule"
                days = (request.first, request.last)
                self._again.append(Launch(request.key, target, *days, newest, request.asked_by))
        settle(self._connection, over)

    def _settle_days(self, target: Target | None, request: Request, run: Found) -> None:
        days = days_of(request.first, request.last)
        rows = partition_states.outstanding(self._connection, request.tenant_id, request.pipeline, days)
        mine = [row for row in rows if row.request_key == request.key and row.state == "requested"]
        if target is None:  # its file is gone, and may come back
            partition_states.write_outstanding(self._connection, [self._failed(row, run) for row in mine])
            return
        published = publications.between(
            self._connection, target.tenant_id, target.tables.asked(), request.first, request.last
        )
        done, again = [], []
        for row in mine:
            own = target.tables.are_by(run.run_id, row.day, published)
            if run.outcome == "interrupted" and not own:  # also of a day that was asked for though it is current
                again.append(self._failed(row, run))
                continue
            if target.tables.is_current(row.day, published):
                done.append(row)
                continue
            if own:
                # It was published, and what it read once more meanwhile.
                again.append(self._judged(target, row.day, published))
                continue
            again.append(self._failed(row, run))
        partition_states.remove(self._connection, done)
        partition_states.write_outstanding(self._connection, again)

    def _failed(self, row: PendingPartition, run: Found) -> PendingPartition:
        if run.outcome == "interrupted" and row.interruptions < INTERRUPTIONS:
            reason, count = f"run {run.run_id} was interrupted", row.interruptions + 1
            return replace(row, state="due", reason=reason, wake_at=self.now, interruptions=count, request_key=None)
        attempts = row.attempts + 1
        said = f"run {run.run_id} did not publish it"
        if attempts > len(RETRY_AFTER):
            reason = f"given up after {attempts} attempts: {said}"
            return replace(row, state="gave_up", reason=reason, wake_at=None, attempts=attempts, request_key=None)
        wake_at = self.now + RETRY_AFTER[attempts - 1]
        return replace(row, state="due", reason=said, wake_at=wake_at, attempts=attempts, request_key=None)

    def follow_publications(self) -> None:
        """Wake what was published, and what reads it, since the last tick."""
        seen = partition_states.read_through(self._connection, self._shard)
        newest = publications.newest_version(self._connection)
        partial = self._partial_days(newest)
        if newest == seen and not partial:
            return
        touched: dict[Name, set[date]] = defaultdict(set)
        for tenant_id, table, day in (*publications.since(self._connection, seen), *partial):
            for target in self._concerned.get((tenant_id, table), ()):
                touched[target.name].add(day)
        for name, days in touched.items():
            self._touch(self._all[name], days)
        partition_states.write_read_through(self._connection, newest, self._shard)

    def _partial_days(self, newest: int) -> Sequence[tuple[str, str, date]]:
        """Once in the life of a store: the days that a release without the guard published before they were over."""
        if not partition_states.first_look_for_partial_days(self._connection, self._shard, newest):
            return ()
        return publications.partial_days(self._connection, {t.tenant_id: t.timezone for t in self._all.values()})

    def _touch(self, target: Target, days: Collection[date]) -> None:
        progress = self._progress.get(target.name)
        rows = {row.day: row for row in partition_states.outstanding(self._connection, *target.name, days)}
        found = publications.between(self._connection, target.tenant_id, target.tables.asked(), min(days), max(days))
        done, changed = [], []
        for day in days:
            row = rows.get(day)
            if row is None:
                opened = progress is not None and progress.has_opened(day)
                if opened and not target.tables.is_current(day, found):
                    changed.append(self._judged(target, day, found))
            elif row.state != "requested":
                if target.tables.is_current(day, found):
                    done.append(row)
                elif row.state == "waiting" or self._version(target, day, found) > row.data_version:
                    changed.append(replace(self._judged(target, day, found), asked_by=row.asked_by))
        partition_states.remove(self._connection, done)
        partition_states.write_outstanding(self._connection, changed)

    def open_newest(self) -> None:
        """Make every pipeline's last due day outstanding, whatever is still missing before it."""
        opened = 0
        for target in self._targets:
            newest = target.due_through(self.now)
            said = self._progress.get(target.name)
            if said is None or target.start_date < said.opened_from:
                said = Progress(target.start_date, target.start_date - _DAY, said.newest_opened if said else None)
            reached = max(said.opened_through, said.newest_opened or said.opened_through)
            if newest <= reached or newest < target.start_date or self._stopped(target) or opened >= REQUESTS_A_TICK:
                continue
            opened += 1
            self._open_days(target, [newest])
            through = newest if said.opened_through == newest - _DAY else said.opened_through
            self._write(target, replace(said, opened_through=through, newest_opened=newest))

    def open_older(self) -> None:
        """Make days outstanding that were missed, the oldest first, for the pipelines that waited longest for it."""
        behind = [
            (said.served_at or _NEVER, target, said)
            for target in self._targets
            if (said := self._progress.get(target.name))
            and said.newest_opened
            and said.opened_through < said.newest_opened
            and not self._stopped(target)
        ]
        in_flight = sum(request.trigger == "catch_up" for request in self._open.values())
        for _, target, said in sorted(behind, key=lambda b: (b[0], b[1].name))[
            : max(CATCH_UP_IN_FLIGHT - in_flight, 0)
        ]:
            last = min(said.opened_through + timedelta(days=CATCH_UP_DAYS), said.newest_opened or date.max)
            days = days_of(said.opened_through + _DAY, min(last, self._open_up_to(target, last)))
            if days:
                self._open_days(target, days)
                said = replace(said, opened_through=days[-1])
                if said.newest_opened == days[-1] + _DAY:
                    said = replace(said, opened_through=said.newest_opened)
            self._write(target, replace(said, served_at=self.now))

    def _open_up_to(self, target: Target, last: date) -> date:
        # A day that nothing upstream has been asked for yet would only wait.
        reached = [last]
        for pipeline in target.upstream:
            upstream, said = self._all[target.tenant_id, pipeline], self._progress.get((target.tenant_id, pipeline))
            through = said.opened_through if said else upstream.start_date - _DAY
            reached.append(max(through, upstream.start_date - _DAY))
        day = min(reached)
        while day < last and target.waited_long_enough(day + _DAY, self.now):
            day += _DAY
        return day

    def _open_days(self, target: Target, days: Sequence[date]) -> None:
        found = publications.between(self._connection, target.tenant_id, target.tables.asked(), days[0], days[-1])
        known = {row.day for row in partition_states.outstanding(self._connection, *target.name, days)}
        new = [day for day in days if day not in known and not target.tables.is_current(day, found)]
        partition_states.write_outstanding(self._connection, [self._judged(target, day, found) for day in new])

    def choose(self, *, catch_up: bool) -> list[Launch]:
        """Ask for what can be asked for; the newest days first, then what people asked for, then the other older days,
        of both one stretch a tenant in turn."""
        recent = self.now.date() - _RECENT
        rows = partition_states.awake(
            self._connection, self.now, recent, _OLDER_OF_A_TENANT, _OLDER_IN_ALL, self._own_tenants()
        )
        mine = {target.name: target for target in self._targets}
        rows = [row for row in rows if row.name in mine and row.state != "requested"]
        if not rows:
            return self._again
        wanted = [mine[name] for name in {row.name for row in rows}]
        room = Capacity(self._connection, self._locks, wanted, self._open.values(), self.now)
        held: list[PendingPartition] = []
        newest: list[PendingPartition] = []
        older: dict[tuple[Name, bool], list[PendingPartition]] = defaultdict(list)
        for row in rows:
            target = mine[row.name]
            if self._stopped(target):
                held.append(replace(row, wake_at=self.now + PAUSED_FOR))
            elif row.day == target.due_through(self.now):
                newest.append(row)
            elif catch_up:
                older[row.name, row.asked_by is not None].append(row)
        launches: list[Launch] = []
        for row in newest:
            if len(launches) < REQUESTS_A_TICK:
                self._ask(mine[row.name], [row], room, launches, held, newest=True)
        for asked_for, there_is_room in ((True, room.for_asked), (False, room.for_catch_up)):
            behind = [
                (mine[name], stretch)
                for (name, is_asked_for), days in older.items()
                if is_asked_for == asked_for
                for stretch in stretches(days)
            ]
            behind.sort(key=lambda b: (room.catching_up[b[0].tenant_id], b[1][0].day, b[0].name))
            for target, stretch in in_turn(behind):
                if len(launches) < REQUESTS_A_TICK and there_is_room(target):
                    self._ask(target, stretch, room, launches, held, newest=False)
        partition_states.write_outstanding(self._connection, held)
        return self._again + launches

    def _own_tenants(self) -> frozenset[str] | None:
        return None if self._shard.of == 1 else frozenset(tenant_id for tenant_id, _ in self._all)

    def _ask(
        self, target: Target, rows: Sequence[PendingPartition], room: Capacity, launches: list[Launch],
        held: list[PendingPartition], *, newest: bool,
    ) -> None:  # fmt: skip
        first, last = rows[0].day, rows[-1].day
        exhausted = room.exhausted(target)
        if exhausted:
            said, retry_at = exhausted
            held += [replace(row, reason=f"the plan's limit: {said}", wake_at=retry_at) for row in rows]
            return
        if not room.free(target) or room.held_by_another(target, first, last):
            return
        version = max(row.data_version for row in rows)
        attempt = max(row.attempts for row in rows) + 1
        claim = Claim(target.tenant_id, target.pipeline, first, last)
        key = unused_key(self._connection, claim, version, attempt, max(row.interruptions for row in rows))
        launch = Launch(key, target, first, last, newest, rows[0].asked_by)
        ask(self._connection, key, claim, launch.trigger, self.now, asked_by=launch.asked_by)
        room.take(launch)
        launches.append(launch)
        asked = [
            replace(row, state="requested", reason=f"asked for: {key}", wake_at=None, request_key=key) for row in rows
        ]
        partition_states.write_outstanding(self._connection, asked)

    def _judged(self, target: Target, day: date, found: publications.Days) -> PendingPartition:
        """A day that is not current: due, or waiting for what it reads."""
        missing = target.tables.missing(day, found)
        version = self._version(target, day, found)
        if missing and not target.waited_long_enough(day, self.now):
            until = target.due_at(day) + target.wait_at_most if target.wait_at_most else None
            return PendingPartition(*target.name, day, "waiting", f"waits for {', '.join(missing)}", until, 0, version)
        return PendingPartition(
            *target.name, day, "due", target.tables.why_not_current(day, found), self.now, 0, version
        )

    @staticmethod
    def _version(target: Target, day: date, found: publications.Days) -> int:
        return max((found[t, day].version for t in target.tables.asked() if (t, day) in found), default=0)

    def _stopped(self, target: Target) -> bool:
        paused = target.paused or partition_states.pause_of(self._pauses, target.name) is not None
        return paused or target.schedule not in self._on

    def _write(self, target: Target, said: Progress) -> None:
        self._progress[target.name] = said
        partition_states.write_progress(self._connection, target.name, said, self.now)
