"""Finds runs in the order of their creation, then refreshes their status."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from convergence_assets.control import run_cursors
from convergence_assets.control import runs as index
from convergence_assets.control.ledger_rows import put_rows
from convergence_assets.control.run_cursors import NOT_KNOWN_YET, NOT_SEEN_AGAIN, Progress, RunCursor
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.run_mapping import Name, has_ended, parts, selected, table_of, with_status
from convergence_assets.tenancy.tenant import Tenant

RUNS_A_PAGE = 500
_WITHOUT_PLAN = frozenset({"NOT_STARTED", "QUEUED", "STARTING"})
_LONGEST_CHAIN = 1000
_TRANSACTIONS = "ledger"
_GONE = "the run was deleted from Dagster before its end was seen"


class Finder:
    """Keeps the runs index and the places of runs up to date with Dagster's run storage. `settled` is how long after a
    greater id one may become visible."""

    def __init__(
        self, store: ControlStore, instance: dg.DagsterInstance, tenants: Mapping[str, Tenant], settled: timedelta
    ) -> None:
        self._store = store
        self._instance = instance
        self._tenants = tenants
        self._settled = settled

    def find_runs(self, end: float) -> tuple[bool, int]:
        """Find new runs, page by page, at least one; whether all were found, and how many were new."""
        runs_found = 0
        with self._store.read() as connection:
            progress = run_cursors.progress(connection)
        assert progress is not None
        after, since = progress.anchor, None
        if after and not run_records.run_exists(self._instance, after):
            assert progress.anchor_created_at is not None
            after, since = None, progress.anchor_created_at - self._settled
        while True:
            page = run_records.runs_in_order(self._instance, after, since, RUNS_A_PAGE)
            if page:
                after = page[-1].dagster_run.run_id
                names = self._names(page)
                with self._store.write(_TRANSACTIONS) as connection:
                    if run_cursors.progress(connection) != progress:
                        return False, runs_found  # another process finds runs, or the index is being rebuilt
                    runs_found += self._store_runs(connection, page, names)
                    progress = self._advanced(progress, page)
                    run_cursors.write_progress(connection, progress)
            if len(page) < RUNS_A_PAGE:
                return True, runs_found
            if time.monotonic() >= end:
                return False, runs_found

    def refresh_runs(self, *, forget_the_unseen: bool) -> None:
        """Refresh the status of the runs that have not ended. Those that were deleted in Dagster are over; with
        `forget_the_unseen` also those that were not found again after the index was emptied."""
        with self._store.read() as connection:
            open_ones = run_cursors.to_refresh(connection, self._store.now())
        by_status: dict[str, list[RunCursor]] = defaultdict(list)
        for place in open_ones:
            by_status[place.dagster_status].append(place)
        for status, same in by_status.items():
            for start in range(0, len(same), RUNS_A_PAGE):
                chunk = {place.run_id: place for place in same[start : start + RUNS_A_PAGE]}
                changed = run_records.runs_of_other_status(self._instance, chunk, status)
                there = run_records.existing_runs(self._instance, list(chunk))
                gone = [place for run_id, place in chunk.items() if run_id not in there]
                if changed or gone:
                    self._store_changes(chunk, changed, gone)
        while forget_the_unseen:
            with self._store.write(_TRANSACTIONS) as connection:
                unseen = run_cursors.not_seen_again(connection, RUNS_A_PAGE)
                run_cursors.delete_places(connection, unseen)
            if not unseen:
                return

    def _store_changes(
        self, cursors: Mapping[str, RunCursor], changed: Sequence[dg.RunRecord], gone: Sequence[RunCursor]
    ) -> None:
        names = self._names(changed)
        with self._store.write(_TRANSACTIONS) as connection:
            self._store_runs(connection, changed, names, cursors)
            now = self._store.now()
            current = run_cursors.places(connection, [place.run_id for place in gone])
            for place in gone:
                if current.get(place.run_id) != place:
                    continue
                # Its events are gone too: its end is derived from what was read before.
                ended = [
                    replace(p, status="canceled", dagster_status="CANCELED", ended_at=now, updated_at=now,
                            error_class="deleted", error_message=_GONE)
                    for p in index.parts_of(connection, place.run_id, to_change=True)
                    if not has_ended(p.dagster_status)
                ]  # fmt: skip
                _write(connection, ended, now)
                if ended:
                    over = replace(place, dagster_status="CANCELED", ended=True, wake_at=now)
                    run_cursors.write_places(connection, [over])
                else:
                    run_cursors.delete_places(connection, [place.run_id])

    def _names(self, page: Sequence[dg.RunRecord]) -> dict[str, set[Name] | None]:
        """The pipelines of each run; None where they are not known yet. Reads planned events where necessary."""
        return {record.dagster_run.run_id: self._names_of(record.dagster_run) for record in page}

    def _names_of(self, run: dg.DagsterRun) -> set[Name] | None:
        pipelines = selected(run)
        if pipelines is not None:
            return pipelines
        planned = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED}
        records, _ = run_records.run_events(self._instance, run.run_id, -1, RUNS_A_PAGE, planned)
        keys = [record.event_log_entry.dagster_event for record in records]
        in_events = {table[:2] for event in keys if event and (table := table_of(event.asset_key))}
        return in_events or (None if run.status.value in _WITHOUT_PLAN else set())

    def _store_runs(
        self,
        connection: sa.Connection,
        page: Sequence[dg.RunRecord],
        names: Mapping[str, set[Name] | None],
        expected: Mapping[str, RunCursor] | None = None,
    ) -> int:
        """Store these runs with their status; returns the number of those that the index did not have.

        `expected` are the places whose status is refreshed; without them only runs that are new, or new again, count.
        """
        ids = [record.dagster_run.run_id for record in page]
        current = run_cursors.places(connection, ids)
        parents = [parent for record in page if (parent := record.dagster_run.parent_run_id)]
        attempts = run_cursors.indexed(connection, [*ids, *parents])
        stuck = run_cursors.stuck_reasons(connection, ids)
        now = self._store.now()
        new, moved, rows = 0, [], []
        for record in page:
            run_id = record.dagster_run.run_id
            place, pipelines = current.get(run_id), names[run_id]
            if expected is None:
                if place.dagster_status not in (NOT_SEEN_AGAIN, NOT_KNOWN_YET) if place else run_id in attempts:
                    continue  # known, or followed to its end
            elif place is None or place != expected[run_id]:
                continue  # followed by another process in between
            before = index.parts_of(connection, run_id, to_change=True) if run_id in attempts else []
            if not before and pipelines is not None and not pipelines:
                run_cursors.delete_places(connection, [run_id])
                continue  # not this platform's
            if before:
                after = [with_status(part, record) for part in before]
            else:
                attempt = self._attempt(record.dagster_run, attempts) if pipelines else 1
                after = [
                    _with_preserved(part, place, stuck)
                    for part in parts(record, pipelines or (), attempt, self._tenants)
                ]
                new += bool(after)
                if after:
                    attempts[run_id] = attempt
            rows += [part for part in after if part not in before]
            moved.append(_current_place(place, record, is_indexed=bool(after), now=now))
        _write(connection, rows, now)
        run_cursors.write_places(connection, moved)
        return new

    def _attempt(self, run: dg.DagsterRun, attempts: Mapping[str, int]) -> int:
        """One more than the number of the run's ancestors."""
        number = 1
        for _ in range(_LONGEST_CHAIN):
            parent = run.parent_run_id
            if not parent:
                break
            if parent in attempts:
                return number + attempts[parent]
            number += 1
            retried = self._instance.get_run_by_id(parent)
            if retried is None:
                break
            run = retried
        return number

    def _advanced(self, progress: Progress, page: Sequence[dg.RunRecord]) -> Progress:
        before = self._store.now() - self._settled
        for record in page:
            created = record.create_timestamp.replace(tzinfo=UTC)
            if created > before:
                break
            progress = replace(progress, anchor=record.dagster_run.run_id, anchor_created_at=created)
        return progress


def _current_place(place: RunCursor | None, record: dg.RunRecord, *, is_indexed: bool, now: datetime) -> RunCursor:
    """The run's place with its current status; `is_indexed`: its pipelines are known."""
    run, created = record.dagster_run, record.create_timestamp.replace(tzinfo=UTC)
    status = run.status.value if is_indexed else NOT_KNOWN_YET
    ended = has_ended(status)
    place = place or RunCursor(run.run_id, status, False, created, created)
    wake_at = now if ended else place.wake_at  # its new events are to be read now
    return replace(place, dagster_status=status, ended=ended, kept=None, wake_at=wake_at)


def _with_preserved(part: IndexedRun, place: RunCursor | None, stuck: Mapping[str, str]) -> IndexedRun:
    config_version, reason = run_cursors.preserved_of(part, place)
    return replace(part, config_version=config_version, stuck_reason=reason or stuck.get(part.run_id))


def _write(connection: sa.Connection, rows: Sequence[IndexedRun], now: datetime) -> None:
    index.write_runs(connection, rows)
    put_rows(connection, [index.ledger_row(part) for part in rows], now)
