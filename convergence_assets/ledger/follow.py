"""The one reader of Dagster's storage: new runs, changed statuses and events, each with its effects in one transaction.

Portable over SQLite, where each run has its own file, and Postgres, where a row may become visible after one of a
greater id: what is younger than `SETTLED_SECONDS` is read again, and reported once.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from convergence_assets.control import counters, run_cursors
from convergence_assets.control import runs as index
from convergence_assets.control.errors import ControlError
from convergence_assets.control.ledger_rows import put_rows
from convergence_assets.control.run_cursors import Progress, RunCursor
from convergence_assets.control.store import ControlStore
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.counting import increments
from convergence_assets.ledger.run_discovery import Finder
from convergence_assets.ledger.run_events import RunEvent
from convergence_assets.ledger.run_reducer import READ, Memory, RunReducer
from convergence_assets.redaction import redacted
from convergence_assets.tenancy.tenant import Tenant

SETTLED = timedelta(seconds=60)
EVENTS_A_PAGE = 500
_ENDED_AT_ONCE = 200
_ASIDE = timedelta(seconds=60)
_FIRST_TOLD = timedelta(days=1)
_TRANSACTIONS = "ledger"
_log = logging.getLogger(__name__)

Observe = Callable[[sa.Connection, Sequence[RunEvent]], None]


@dataclass
class Followed:
    """What one call did. `complete` where nothing that had happened was left unread, except old runs of a first start;
    `unreadable` are runs that were postponed for a minute, with the reason."""

    runs: int = 0
    events: int = 0
    run_events: int = 0
    complete: bool = False
    unreadable: dict[str, str] = field(default_factory=dict)


class Follower:
    """Brings index, ledger and observers up to date with Dagster's storage.

    A run event is observed once, in the transaction that records that; what happened more than a day before the very
    first call is not observed. Any number of processes may follow: their transactions run one after the other, and what
    another has read in between is not read twice.
    """

    def __init__(
        self,
        store: ControlStore,
        instance: dg.DagsterInstance,
        tenants: Mapping[str, Tenant],
        observe: Observe = lambda connection, run_events: None,
    ) -> None:
        self._store = store
        self._instance = instance
        self._observe = observe
        self._finder = Finder(store, instance, tenants, SETTLED)

    def follow(self, budget_seconds: float) -> Followed:
        """Follow for about that long; raises `ControlError` where the control store fails, and the errors of Dagster's
        storage."""
        done = Followed()
        end = time.monotonic() + budget_seconds
        began = self._store.now()
        self._begin()
        found_all, done.runs = self._finder.find_runs(time.monotonic() + budget_seconds * 0.5)
        self._finder.refresh_runs(forget_the_unseen=found_all)
        done.complete = self._read(end, done, ended=False)
        done.complete &= self._read(end, done, ended=True) and found_all
        if done.complete:
            with self._store.write(_TRANSACTIONS) as connection:
                progress = run_cursors.progress(connection)
                if progress:
                    run_cursors.write_progress(
                        connection, replace(progress, complete_at=max(began, progress.complete_at))
                    )
        return done

    def _begin(self) -> None:
        with self._store.read() as connection:
            if run_cursors.progress(connection):
                return
        with self._store.write(_TRANSACTIONS) as connection:
            if not run_cursors.progress(connection):
                now = self._store.now()
                run_cursors.write_progress(connection, Progress(None, None, now - _FIRST_TOLD, now))

    def _read(self, end: float, done: Followed, *, ended: bool) -> bool:
        """Read the events of active or of ended runs; whether none was left, except old ones."""
        tried: set[str] = set()
        while True:
            with self._store.read() as connection:
                progress = run_cursors.progress(connection)
                batch = run_cursors.to_read(connection, self._store.now(), ended=ended, limit=_ENDED_AT_ONCE)
            left = [place for place in batch if place.run_id not in tried]
            if not left:
                return True
            if not ended:
                random.shuffle(left)  # where time does not suffice for all, each gets a chance
            for place in left:
                # One of each kind is read however little time there is.
                if tried and time.monotonic() >= end:
                    return progress is not None and all(
                        p.created_at < progress.tell_from for p in left if p.run_id not in tried
                    )
                tried.add(place.run_id)
                self._read_run(place, done)
            if not ended:
                return True

    def _read_run(self, place: RunCursor, done: Followed) -> None:
        try:
            self._read_events(place, done)
        except ControlError:
            raise
        except Exception as error:
            # One run that cannot be read, or whose run events cannot be reported, does not delay the others.
            problem = redacted(f"{type(error).__name__}: {error}")[:1000]
            _log.exception("run %s cannot be followed; it is tried again in a minute", place.run_id)
            done.unreadable[place.run_id] = problem
            with self._store.write(_TRANSACTIONS) as connection:
                if cursor := run_cursors.place_of(connection, place.run_id):
                    aside = replace(cursor, unreadable=problem, wake_at=self._store.now() + _ASIDE)
                    run_cursors.write_places(connection, [aside])

    def _read_events(self, place: RunCursor, done: Followed) -> None:
        after, more = place.read_through, True
        while more:
            records, more = run_records.run_events(self._instance, place.run_id, after, EVENTS_A_PAGE, READ)
            after = records[-1].storage_id if records else after
            fresh = [record for record in records if record.storage_id not in place.read_beyond]
            over = place.ended and not more
            if not fresh and not over:
                continue
            cursor = self._apply(place, records, fresh, over, done)
            if cursor is None:
                return
            place = cursor

    def _apply(
        self,
        place: RunCursor,
        records: Sequence[dg.EventLogRecord],
        fresh: Sequence[dg.EventLogRecord],
        over: bool,
        done: Followed,
    ) -> RunCursor | None:
        """All effects of a page; None where another process has followed the run since, or nothing is left of it."""
        with self._store.write(_TRANSACTIONS) as connection:
            now = self._store.now()
            progress = run_cursors.progress(connection)
            if progress is None or run_cursors.place_of(connection, place.run_id) != place:
                return None
            before = index.parts_of(connection, place.run_id, to_change=True)
            understood = RunReducer(before, Memory.of(place.memory))
            for record in fresh:
                understood.take_event(record)
            next_place = _moved(place, records, now)
            if over:
                ended = max((part.ended_at for part in before if part.ended_at), default=now)
                understood.end_run(ended)
                next_place = replace(next_place, wake_at=ended + SETTLED)
            parts = list(understood.parts.values())
            if over:
                # It may have been found stuck before the index had it.
                reasons = run_cursors.stuck_reasons(connection, [place.run_id])
                parts = [replace(p, stuck_reason=p.stuck_reason or reasons.get(p.run_id)) for p in parts]
            changed = [part for part in parts if part not in before]
            index.write_runs(connection, changed)
            put_rows(connection, [*understood.rows, *map(index.ledger_row, changed)], now)
            counters.add_counts(
                connection, increments(understood.rows, [run_event for _, run_event in understood.run_events])
            )
            run_events = [run_event for moment, run_event in understood.run_events if moment >= progress.tell_from]
            if run_events:
                self._observe(connection, run_events)
            done.run_events += len(run_events)
            done.events += len(fresh)
            if over and next_place.wake_at <= now:
                run_cursors.delete_places(connection, [place.run_id])
                return None
            next_place = replace(next_place, memory=understood.memory.text, unreadable=None)
            run_cursors.write_places(connection, [next_place])
            return next_place


def _moved(place: RunCursor, records: Sequence[dg.EventLogRecord], now: datetime) -> RunCursor:
    """The place after these records: the last one before which all are settled, and single ones beyond."""
    through, beyond = place.read_through, set(place.read_beyond)
    for record in records:
        if datetime.fromtimestamp(record.event_log_entry.timestamp, UTC) > now - SETTLED:
            break
        through = record.storage_id
    beyond |= {record.storage_id for record in records}
    return replace(place, read_through=through, read_beyond=tuple(sorted(b for b in beyond if b > through)))
