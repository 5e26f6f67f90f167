"""Which partitions are requested now: due, neither published nor in flight, with published inputs, within the plan.
One transaction per tick, so that two daemons never request the same day.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states, publications
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.partition_states import Name, PendingPartition, Progress, Request
from convergence_assets.control.run_requests import (
    Outcome,
    insert_request,
    prune_requests,
    reissue_request,
    unused_key,
    write_outcomes,
)
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.capacity import (
    CATCH_UP_DAYS,
    CATCH_UP_IN_FLIGHT,
    Capacity,
    Launch,
    in_turn,
    stretches,
)
from convergence_assets.scheduling.requesting import (
    PipelineDays,
    RequestedRun,
    end_run_of_removed_pipeline,
    put_off,
    take,
    write_put_off,
)
from convergence_assets.scheduling.targets import Target, Targets
from convergence_assets.settings import Shard

REQUESTS_A_TICK = 50
"""The limit of runs that one tick requests: Dagster needs up to a second to create each."""
LOST_AFTER = timedelta(minutes=10)
"""A request without a run after this time is issued once more."""
PAUSED_FOR = timedelta(minutes=10)
"""When a day that cannot be requested is checked again; what frees it wakes it at once."""

_DAY = timedelta(days=1)
_WHOLE = Shard()
_NEVER = datetime.min.replace(tzinfo=UTC)
_RECENT = timedelta(days=8)  # the newest day of a weekly schedule is among them
_OLDER_OF_A_TENANT, _OLDER_IN_ALL = 60, 4000


Lookup = Callable[[Sequence[Request]], Mapping[str, RequestedRun]]
"""The outcomes of requests, by key; those without a run are left out."""


class Planner:
    """Decides for the targets of a deployment, or of one shard of it; between two ticks its state is in the store."""

    def __init__(self, store: ControlStore, targets: Targets, lookup: Lookup, shard: Shard = _WHOLE) -> None:
        self._store = store
        self._targets = targets
        self._lookup = lookup
        self._shard = shard

    def due(self, schedule: tuple[str, str]) -> list[Launch]:
        """Request the newest days of the pipelines on one schedule (cron, timezone), at its tick."""
        targets = [target for target in self._targets.by_name.values() if target.schedule == schedule]
        return self._tick(targets, frozenset({schedule}), catch_up=False)

    def catch_up(self, on: Collection[tuple[str, str]]) -> list[Launch]:
        """Request everything due: missed, failed, late and unblocked days too. `on` are the schedules that are on."""
        return self._tick(list(self._targets.by_name.values()), frozenset(on), catch_up=True)

    def _tick(self, targets: Sequence[Target], on: frozenset[tuple[str, str]], *, catch_up: bool) -> list[Launch]:
        results: Mapping[str, RequestedRun] = {}
        if catch_up:
            with self._store.read() as connection:
                waiting = [r for r in partition_states.open_requests(connection) if self._shard.holds(r.tenant_id)]
            results = self._lookup(waiting) if waiting else {}
        with self._store.write("planner") as connection:
            tick = _Tick(self._store, connection, targets, self._targets, on, self._shard)
            if catch_up:
                prune_requests(connection, tick.now)
                tick.store_outcomes(waiting, results)
                tick.follow_publications()
            tick.open_newest()
            if catch_up:
                tick.open_older()
            return tick.choose_launches(catch_up=catch_up)


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

    def store_outcomes(self, waiting: Sequence[Request], results: Mapping[str, RequestedRun]) -> None:
        """Store the outcomes of the requested runs."""
        over: dict[str, Outcome] = {}
        for request in waiting:
            if request.key not in self._open:
                continue
            target, run = self._all.get((request.tenant_id, request.pipeline)), results.get(request.key)
            if run is None and request.outcome:  # the run was deleted in Dagster
                run = RequestedRun(request.run_id or "", request.outcome)
            if run is not None and run.outcome is not None:
                over[request.key] = run.outcome
                del self._open[request.key]
                if target is None:
                    end_run_of_removed_pipeline(self._connection, request, run, self.now)
                else:
                    self._days(target, days_of(request.first, request.last)).end_run(target, request, run)
            elif run is None and target and request.requested_at < self.now - LOST_AFTER:
                reissue_request(self._connection, request.key, self.now)
                newest = request.trigger == "schedule"
                days = (request.first, request.last)
                self._again.append(Launch(request.key, target, *days, newest, request.asked_by))
        write_outcomes(self._connection, over)

    def follow_publications(self) -> None:
        """Wake what was published, and what reads it, since the last tick."""
        seen = partition_states.read_through(self._connection, self._shard)
        newest = publications.newest_version(self._connection)
        partial = self._partial_days(newest)
        if newest == seen and not partial:
            return
        touched: dict[Name, set[date]] = defaultdict(set)
        for tenant_id, table, day in (*publications.published_since(self._connection, seen), *partial):
            for target in self._concerned.get((tenant_id, table), ()):
                touched[target.name].add(day)
        for name, days in touched.items():
            progress = self._progress.get(name)
            has_opened = progress.has_opened if progress else lambda day: False
            self._days(self._all[name], days).follow_publications(self._all[name], has_opened)
        partition_states.write_read_through(self._connection, newest, self._shard)

    def _partial_days(self, newest: int) -> Sequence[tuple[str, str, date]]:
        """Once per store: the days that a release without the guard published before they were over."""
        if not partition_states.first_look_for_partial_days(self._connection, self._shard, newest):
            return ()
        return publications.partial_days(self._connection, {t.tenant_id: t.timezone for t in self._all.values()})

    def open_newest(self) -> None:
        """Make every pipeline's last due day outstanding, whatever is missing before it."""
        opened = 0
        for target in self._targets:
            newest = target.due_through(self.now)
            progress = self._progress.get(target.name)
            if progress is None or target.start_date < progress.opened_from:
                progress = Progress(
                    target.start_date, target.start_date - _DAY, progress.newest_opened if progress else None
                )
            reached = max(progress.opened_through, progress.newest_opened or progress.opened_through)
            if newest <= reached or newest < target.start_date or self._stopped(target) or opened >= REQUESTS_A_TICK:
                continue
            opened += 1
            self._days(target, [newest]).open_days(target)
            through = newest if progress.opened_through == newest - _DAY else progress.opened_through
            self._write_progress(target, replace(progress, opened_through=through, newest_opened=newest))

    def open_older(self) -> None:
        """Make missed days outstanding, the oldest first, for the pipelines that waited longest."""
        behind = [
            (progress.served_at or _NEVER, target, progress)
            for target in self._targets
            if (progress := self._progress.get(target.name))
            and progress.newest_opened
            and progress.opened_through < progress.newest_opened
            and not self._stopped(target)
        ]
        in_flight = sum(request.trigger == "catch_up" for request in self._open.values())
        for _, target, progress in sorted(behind, key=lambda b: (b[0], b[1].name))[
            : max(CATCH_UP_IN_FLIGHT - in_flight, 0)
        ]:
            last = min(progress.opened_through + timedelta(days=CATCH_UP_DAYS), progress.newest_opened or date.max)
            days = days_of(progress.opened_through + _DAY, min(last, self._open_up_to(target, last)))
            if days:
                self._days(target, days).open_days(target)
                progress = replace(progress, opened_through=days[-1])
                if progress.newest_opened == days[-1] + _DAY:
                    progress = replace(progress, opened_through=progress.newest_opened)
            self._write_progress(target, replace(progress, served_at=self.now))

    def _open_up_to(self, target: Target, last: date) -> date:
        # A day whose upstream has not been opened yet would only wait.
        reached = [last]
        for pipeline in target.upstream:
            upstream, progress = self._all[target.tenant_id, pipeline], self._progress.get((target.tenant_id, pipeline))
            through = progress.opened_through if progress else upstream.start_date - _DAY
            reached.append(max(through, upstream.start_date - _DAY))
        day = min(reached)
        while day < last and target.waited_long_enough(day + _DAY, self.now):
            day += _DAY
        return day

    def _days(self, target: Target, days: Collection[date]) -> PipelineDays:
        return PipelineDays.of(self._connection, target, days, self.now)

    def choose_launches(self, *, catch_up: bool) -> list[Launch]:
        """Request what can be requested: the newest days first, then days from the API, then the other older days, of
        both one stretch per tenant in turn."""
        recent = self.now.date() - _RECENT
        rows = partition_states.due_to_look_at(
            self._connection, self.now, recent, _OLDER_OF_A_TENANT, _OLDER_IN_ALL, self._own_tenants()
        )
        by_name = {target.name: target for target in self._targets}
        rows = [row for row in rows if row.name in by_name and row.state != "requested"]
        if not rows:
            return self._again
        chosen = [by_name[name] for name in {row.name for row in rows}]
        capacity = Capacity(self._connection, self._locks, chosen, self._open.values(), self.now)
        later: list[PendingPartition] = []
        newest: list[PendingPartition] = []
        older: dict[tuple[Name, bool], list[PendingPartition]] = defaultdict(list)
        for row in rows:
            target = by_name[row.name]
            if self._stopped(target):
                later += put_off([row], self.now + PAUSED_FOR)
            elif row.day == target.due_through(self.now):
                newest.append(row)
            elif catch_up:
                older[row.name, row.asked_by is not None].append(row)
        launches: list[Launch] = []
        for row in newest:
            if len(launches) < REQUESTS_A_TICK:
                self._request_run(by_name[row.name], [row], capacity, launches, later, newest=True)
        for asked_for, has_capacity in ((True, capacity.for_request), (False, capacity.for_catch_up)):
            behind = [
                (by_name[name], stretch)
                for (name, is_asked_for), days in older.items()
                if is_asked_for == asked_for
                for stretch in stretches(days)
            ]
            behind.sort(key=lambda b: (capacity.catching_up[b[0].tenant_id], b[1][0].day, b[0].name))
            for target, stretch in in_turn(behind):
                if len(launches) < REQUESTS_A_TICK and has_capacity(target):
                    self._request_run(target, stretch, capacity, launches, later, newest=False)
        write_put_off(self._connection, later)
        return self._again + launches

    def _own_tenants(self) -> frozenset[str] | None:
        return None if self._shard.of == 1 else frozenset(tenant_id for tenant_id, _ in self._all)

    def _request_run(
        self, target: Target, rows: Sequence[PendingPartition], capacity: Capacity, launches: list[Launch],
        later: list[PendingPartition], *, newest: bool,
    ) -> None:  # fmt: skip
        first, last = rows[0].day, rows[-1].day
        exhausted = capacity.exhausted(target)
        if exhausted:
            limit, retry_at = exhausted
            later += put_off(rows, retry_at, f"the plan's limit: {limit}")
            return
        if not capacity.has_free_run(target) or capacity.held_by_another(target, first, last):
            return
        version = max(row.data_version for row in rows)
        attempt = max(row.attempts for row in rows) + 1
        claim = Claim(target.tenant_id, target.pipeline, first, last)
        key = unused_key(self._connection, claim, version, attempt, max(row.interruptions for row in rows))
        launch = Launch(key, target, first, last, newest, rows[0].asked_by)
        insert_request(self._connection, key, claim, launch.trigger, self.now, asked_by=launch.asked_by)
        capacity.take_slot(launch)
        launches.append(launch)
        take(self._connection, rows, key)

    def _stopped(self, target: Target) -> bool:
        paused = target.paused or partition_states.pause_of(self._pauses, target.name) is not None
        return paused or target.schedule not in self._on

    def _write_progress(self, target: Target, progress: Progress) -> None:
        self._progress[target.name] = progress
        partition_states.write_progress(self._connection, target.name, progress, self.now)
