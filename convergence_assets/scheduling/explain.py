"""What the planner would say of each pipeline: its last published day, the next due one, why a day is not asked for."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from convergence_assets.control import planning, publications
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.targets import Target


@dataclass(frozen=True)
class Explained:
    """A pipeline's state. `last_published` is the newest day of which every table is published; `behind` are days not
    looked at yet; `days` are the outstanding ones with their reason."""

    tenant_id: str
    pipeline: str
    last_published: date | None
    due_through: date
    next_due: date
    next_due_at: datetime
    paused: str | None
    behind: int
    days: tuple[planning.Outstanding, ...]


def explain(store: ControlStore, targets: Collection[Target], tenant_id: str | None = None) -> Iterator[Explained]:
    """Of every target, or of one tenant's."""
    now = store.now()
    timezones = {t.tenant_id: t.timezone for t in targets if tenant_id in (None, t.tenant_id)}
    with store.read() as connection:
        progress = planning.progress(connection)
        pauses = planning.all_pauses(connection)
        newest = publications.newest_days(connection, timezones)
        rows = planning.all_outstanding(connection, tenant_id)
    for target in targets:
        if tenant_id not in (None, target.tenant_id):
            continue
        through = target.due_through(now)
        coming = max(through + timedelta(days=1), target.start_date)
        pause = planning.pause_of(pauses, target.name)
        paused = f"paused by {pause.paused_by} on {pause.paused_at:%Y-%m-%d}: {pause.reason}" if pause else None
        said = progress.get(target.name)
        opened = said.opened_through if said else target.start_date - timedelta(days=1)
        published = [newest.get((target.tenant_id, table)) for table in target.tables.reads]
        yield Explained(
            tenant_id=target.tenant_id,
            pipeline=target.pipeline,
            last_published=min((day for day in published if day), default=None) if all(published) else None,
            due_through=through,
            next_due=coming,
            next_due_at=target.due_at(coming),
            paused="paused in the tenant's file" if target.paused else paused,
            behind=max((through - opened).days - bool(said and said.newest_opened == through != opened), 0),
            days=tuple(row for row in rows if row.name == target.name),
        )
