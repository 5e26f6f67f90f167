"""Which runs there are and how they stand: found in the order in which they were made, then asked for by status."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa

from convergence_assets import dagster_compat
from convergence_assets.control import runs as index
from convergence_assets.control.ledger_rows import put
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger import cursors as places
from convergence_assets.ledger.cursors import NOT_KNOWN_YET, NOT_SEEN_AGAIN, Progress, RunCursor
from convergence_assets.ledger.run_mapping import Name, as_of, has_ended, parts, selected, table_of
from convergence_assets.tenancy.tenant import Tenant

RUNS_A_PAGE = 500
_WITHOUT_PLAN = frozenset({"NOT_STARTED", "QUEUED", "STARTING"})
_LONGEST_CHAIN = 1000
_TRANSACTIONS = "ledger"
_GONE = "the run was deleted from Dagster before its end was seen"


class Finder:
    """Keeps the runs index and the places of runs up to Dagster's run storage. `settled` is how long an id may become
    visible after a greater one."""

    def __init__(
        self, store: ControlStore, instance: dg.DagsterInstance, tenants: Mapping[str, Tenant], settled: timedelta
    ) -> None:
        self._store = store
        self._instance = instance
        self._tenants = tenants
        self._settled = settled

    def find(self, end: float) -> tuple[bool, int]:
        """Find new runs, page by page, at least one; whether all were found, and how many were new."""
        found = 0
        with self._store.read() as connection:
            said = places.progress(connection)
        assert said is not None
        after, since = said.anchor, None
        if after and not dagster_compat.run_exists(self._instance, after):
            assert said.anchor_created_at is not None
            after, since = None, said.anchor_created_at - self._settled
        while True:
            page = dagster_compat.runs_in_order(self._instance, after, since, RUNS_A_PAGE)
            if page:
                after = page[-1].dagster_run.run_id
                names = self._names(page)
                with self._store.write(_TRANSACTIONS) as connection:
                    if places.progress(connection) != said:
                        return False, found  # somebody else finds runs, or the index is built again
                    found += self._see(connection, page, names)
                    said = self._advanced(said, page)
                    places.write_progress(connection, said)
            if len(page) < RUNS_A_PAGE:
                return True, found
            if time.monotonic() >= end:
                return False, found

    def refresh(self, *, forget_the_unseen: bool) -> None:
        """Bring the runs that have not ended to Dagster's status. Those that were deleted there are over; with
        `forget_the_unseen` also those that were not found again after the index was emptied."""
        with self._store.read() as connection:
            open_ones = places.to_refresh(connection, self._store.now())
        by_status: dict[str, list[RunCursor]] = defaultdict(list)
        for place in open_ones:
            by_status[place.dagster_status].append(place)
        for status, same in by_status.items():
            for start in range(0, len(same), RUNS_A_PAGE):
                chunk = {place.run_id: place for place in same[start : start + RUNS_A_PAGE]}
                changed = dagster_compat.runs_of_other_status(self._instance, chunk, status)
                there = dagster_compat.existing_runs(self._instance, list(chunk))
                gone = [place for run_id, place in chunk.items() if run_id not in there]
                if changed or gone:
                    self._change(chunk, changed, gone)
        while forget_the_unseen:
            with self._store.write(_TRANSACTIONS) as connection:
                unseen = places.not_seen_again(connection, RUNS_A_PAGE)
                places.forget(connection, unseen)
            if not unseen:
                return

    def _change(
        self, asked: Mapping[str, RunCursor], changed: Sequence[dg.RunRecord], gone: Sequence[RunCursor]
    ) -> None:
        names = self._names(changed)
        with self._store.write(_TRANSACTIONS) as connection:
            self._see(connection, changed, names, asked)
            now = self._store.now()
            known = places.places(connection, [place.run_id for place in gone])
            for place in gone:
                if known.get(place.run_id) != place:
                    continue
                # Its events are gone too: the end is told by what was read before, and nothing more.
                ended = [
                    replace(p, status="canceled", dagster_status="CANCELED", ended_at=now, updated_at=now,
                            error_class="deleted", error_message=_GONE)
                    for p in index.parts_of(connection, place.run_id, to_change=True)
                    if not has_ended(p.dagster_status)
                ]  # fmt: skip
                _write(connection, ended, now)
                if ended:
                    over = replace(place, dagster_status="CANCELED", ended=True, wake_at=now)
                    places.write_places(connection, [over])
                else:
                    places.forget(connection, [place.run_id])

    def _names(self, page: Sequence[dg.RunRecord]) -> dict[str, set[Name] | None]:
        """The pipelines of each run; None where they cannot be told yet. Reads planned events where it must."""
        return {record.dagster_run.run_id: self._names_of(record.dagster_run) for record in page}

    def _names_of(self, run: dg.DagsterRun) -> set[Name] | None:
        found = selected(run)
        if found is not None:
            return found
        planned = {dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED}
        records, _ = dagster_compat.run_events(self._instance, run.run_id, -1, RUNS_A_PAGE, planned)
        keys = [record.event_log_entry.dagster_event for record in records]
        own = {table[:2] for event in keys if event and (table := table_of(event.asset_key))}
        return own or (None if run.status.value in _WITHOUT_PLAN else set())

    def _see(
        self,
        connection: sa.Connection,
        page: Sequence[dg.RunRecord],
        names: Mapping[str, set[Name] | None],
        asked: Mapping[str, RunCursor] | None = None,
    ) -> int:
        """Note these runs as they stand; the number of those that the index did not have.

        `asked` are the places that a status was asked for; without them only runs that are new, or new again, are seen.
        """
        ids = [record.dagster_run.run_id for record in page]
        known = places.places(connection, ids)
        parents = [parent for record in page if (parent := record.dagster_run.parent_run_id)]
        attempts = places.indexed(connection, [*ids, *parents])
        stuck = places.stuck_reasons(connection, ids)
        now = self._store.now()
        new, moved, rows = 0, [], []
        for record in page:
            run_id = record.dagster_run.run_id
            place, own = known.get(run_id), names[run_id]
            if asked is None:
                if place.dagster_status not in (NOT_SEEN_AGAIN, NOT_KNOWN_YET) if place else run_id in attempts:
                    continue  # known, or followed to its end
            elif place is None or place != asked[run_id]:
                continue  # followed by somebody else meanwhile
            before = index.parts_of(connection, run_id, to_change=True) if run_id in attempts else []
            if not before and own is not None and not own:
                places.forget(connection, [run_id])
                continue  # not of this platform
            if before:
                after = [as_of(part, record) for part in before]
            else:
                attempt = self._attempt(record.dagster_run, attempts) if own else 1
                after = [_kept(part, place, stuck) for part in parts(record, own or (), attempt, self._tenants)]
                new += bool(after)
                if after:
                    attempts[run_id] = attempt
            rows += [part for part in after if part not in before]
            moved.append(_stands(place, record, known=bool(after), now=now))
        _write(connection, rows, now)
        places.write_places(connection, moved)
        return new

    def _attempt(self, run: dg.DagsterRun, known: Mapping[str, int]) -> int:
        """One more than the number of the run's ancestors."""
        number = 1
        for _ in range(_LONGEST_CHAIN):
            parent = run.parent_run_id
            if not parent:
                break
            if parent in known:
                return number + known[parent]
            number += 1
            found = self._instance.get_run_by_id(parent)
            if found is None:
                break
            run = found
        return number

    def _advanced(self, said: Progress, page: Sequence[dg.RunRecord]) -> Progress:
        before = self._store.now() - self._settled
        for record in page:
            created = record.create_timestamp.replace(tzinfo=UTC)
            if created > before:
                break
            said = replace(said, anchor=record.dagster_run.run_id, anchor_created_at=created)
        return said


def _stands(place: RunCursor | None, record: dg.RunRecord, *, known: bool, now: datetime) -> RunCursor:
    """The run's place with its present status; `known` says whether its pipelines are."""
    run, created = record.dagster_run, record.create_timestamp.replace(tzinfo=UTC)
    status = run.status.value if known else NOT_KNOWN_YET
    ended = has_ended(status)
    place = place or RunCursor(run.run_id, status, False, created, created)
    wake_at = now if ended else place.wake_at  # whatever is new of it is to be read now
    return replace(place, dagster_status=status, ended=ended, kept=None, wake_at=wake_at)


def _kept(part: IndexedRun, place: RunCursor | None, stuck: Mapping[str, str]) -> IndexedRun:
    config_version, reason = places.with_kept(part, place)
    return replace(part, config_version=config_version, stuck_reason=reason or stuck.get(part.run_id))


def _write(connection: sa.Connection, rows: Sequence[IndexedRun], now: datetime) -> None:
    index.write(connection, rows)
    put(connection, [index.ledger_row(part) for part in rows], now)
