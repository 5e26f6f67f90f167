"""The planner's view of each pipeline: its last published day, the next due one, why a day is not requested."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control import partition_states, publications
from convergence_assets.control.locks import Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.capacity import Capacity
from convergence_assets.scheduling.targets import Target


@dataclass(frozen=True)
class Explained:
    """A pipeline's state. `last_published` is the newest day of which every table is published; `paused` says why none
    of its days is requested; `missed` is the number of due days that are neither published nor outstanding,
    `missed_because` says why; `days` are the outstanding ones with their reason."""

    tenant_id: str
    pipeline: str
    last_published: date | None
    due_through: date
    next_due: date
    next_due_at: datetime
    paused: str | None
    missed: int
    missed_because: str | None
    days: tuple[partition_states.PendingPartition, ...]


SWITCHED_OFF = "its schedule is switched off in Dagster"
UNSEEN = (
    "no code location has looked at this pipeline yet: wait for its next tick, or reload the code location (Dagster "
    "UI, Deployment)"
)
NOT_YET_CONSIDERED = "older days are requested after the newest ones, the oldest first, at the next ticks"


def explain(
    store: ControlStore,
    targets: Collection[Target],
    tenant_id: str | None = None,
    is_off: Callable[[Target], bool] = lambda target: False,
) -> Iterator[Explained]:
    """Of every target, or of one tenant's; `is_off` says whose schedule is switched off."""
    now = store.now()
    timezones = {t.tenant_id: t.timezone for t in targets if tenant_id in (None, t.tenant_id)}
    with store.read() as connection:
        progress = partition_states.progress(connection)
        pauses = partition_states.all_pauses(connection)
        newest = publications.newest_days(connection, timezones)
        rows: dict[partition_states.Name, list[partition_states.PendingPartition]] = defaultdict(list)
        for row in partition_states.all_outstanding(connection, tenant_id):
            rows[row.name].append(row)
        chosen = [target for target in targets if tenant_id in (None, target.tenant_id)]
        through_by_name = {target.name: target.due_through(now) for target in chosen}
        missed_by_name = {
            target.name: _missed(connection, target, progress.get(target.name), through_by_name[target.name])
            for target in chosen
        }
        capacity = Capacity(connection, Locks(store), chosen, partition_states.open_requests(connection), now)
    for target in chosen:
        through, missed = through_by_name[target.name], missed_by_name[target.name]
        coming = max(through + timedelta(days=1), target.start_date)
        paused = _stopped(target, partition_states.pause_of(pauses, target.name), is_off=is_off(target))
        state = progress.get(target.name)
        published = [newest.get((target.tenant_id, table)) for table in target.tables.reads]
        yield Explained(
            tenant_id=target.tenant_id,
            pipeline=target.pipeline,
            last_published=min((day for day in published if day), default=None) if all(published) else None,
            due_through=through,
            next_due=coming,
            next_due_at=target.due_at(coming),
            paused=paused,
            missed=missed,
            missed_because=(paused or (NOT_YET_CONSIDERED if state else UNSEEN)) if missed else None,
            days=tuple(row if paused else _with_reason(row, target, capacity, now) for row in rows[target.name]),
        )


def _missed(connection: sa.Connection, target: Target, state: partition_states.Progress | None, through: date) -> int:
    first = state.opened_through + timedelta(days=1) if state else target.start_date
    days = [first + timedelta(days=n) for n in range((through - first).days + 1)]
    if state:
        days = [day for day in days if not state.has_opened(day)]
    if not days:
        return 0
    names = target.tables.reads
    published = publications.between(connection, target.tenant_id, names, days[0], days[-1])
    return sum(not target.tables.are_whole(day, published) for day in days)


def _stopped(target: Target, pause: partition_states.Pause | None, *, is_off: bool) -> str | None:
    if target.paused:
        return "paused in the tenant's file"
    if pause:
        return f"paused by {pause.paused_by} on {pause.paused_at:%Y-%m-%d}: {pause.reason}"
    return SWITCHED_OFF if is_off else None


def _with_reason(
    row: partition_states.PendingPartition, target: Target, capacity: Capacity, now: datetime
) -> partition_states.PendingPartition:
    """Adds why a due day is not requested, which is not stored at each tick."""
    if row.state != "due" or (row.wake_at is not None and row.wake_at > now):
        return row
    newest = row.day == target.due_through(now)
    why = capacity.refusal(target, row.day, newest=newest, asked_for=row.asked_by is not None)
    return replace(row, reason=f"{row.reason}; {why or 'it is requested at the next tick'}")
