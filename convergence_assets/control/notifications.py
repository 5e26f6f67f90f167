"""Which incidents each destination was notified of, and when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa

from convergence_assets.control.tables import notifications, notified, outbox

KEPT = timedelta(days=90)


@dataclass(frozen=True)
class Notification:
    """The messages to one destination about one kind and cause at one severity, from the first to the last.

    `told_at` is when people were last notified, `posted_at` when anything was last sent; None: not yet.
    """

    notification_id: str
    destination: str
    kind: str
    cause: str
    severity: str
    opened_at: datetime
    told_at: datetime | None = None
    posted_at: datetime | None = None
    acknowledged_at: datetime | None = None

    @property
    def group(self) -> tuple[str, str, str, str]:
        """What all its incidents share."""
        return self.destination, self.kind, self.cause, self.severity

    @classmethod
    def opened(cls, group: tuple[str, str, str, str], now: datetime) -> "Notification":
        return cls(uuid4().hex, *group, opened_at=now)


@dataclass(frozen=True)
class Member:
    """An incident of a notification; `told_count` is its count when people were last notified."""

    notification_id: str
    incident_id: str
    told_at: datetime | None = None
    told_count: int = 0


def open_notifications(connection: sa.Connection) -> Sequence[Notification]:
    """Those that are not closed, the oldest first."""
    columns = [column for column in notifications.c if column.name != "closed_at"]
    query = sa.select(*columns).where(notifications.c.closed_at.is_(None))
    rows = connection.execute(query.order_by(notifications.c.opened_at, notifications.c.notification_id))
    return [Notification(**row._mapping) for row in rows]


def members(connection: sa.Connection) -> Sequence[Member]:
    """The incidents of all notifications that are not closed."""
    still_open = sa.select(notifications.c.notification_id).where(notifications.c.closed_at.is_(None))
    rows = connection.execute(sa.select(notified).where(notified.c.notification_id.in_(still_open)))
    return [Member(**row._mapping) for row in rows]


def destinations_told(connection: sa.Connection) -> Mapping[str, Sequence[str]]:
    """The destinations notified of each incident, by its id; also of incidents that are over."""
    under_way = sa.select(outbox.c.notification_id).where(outbox.c.sent_at.is_(None), outbox.c.action == "trigger")
    joined = sa.join(notified, notifications, notified.c.notification_id == notifications.c.notification_id)
    query = sa.select(notified.c.incident_id, notifications.c.destination).select_from(joined).distinct()
    destinations: dict[str, list[str]] = {}
    heard = (notified.c.told_at.is_not(None), notified.c.notification_id.not_in(under_way))
    for row in connection.execute(query.where(*heard).order_by(notifications.c.destination)):
        destinations.setdefault(row.incident_id, []).append(row.destination)
    return destinations


def sharing_a_notification(connection: sa.Connection, incident_ids: Iterable[str]) -> set[str]:
    """The incidents that share an open notification with one of these, including these."""
    member, other = notified.alias("own"), notified.alias("other")
    joined = sa.join(member, other, member.c.notification_id == other.c.notification_id)
    joined = joined.join(notifications, notifications.c.notification_id == member.c.notification_id)
    query = sa.select(other.c.incident_id).select_from(joined).distinct()
    ids = list(incident_ids)
    query = query.where(member.c.incident_id.in_(ids), notifications.c.closed_at.is_(None))
    return {*ids, *connection.scalars(query)}


def insert_notifications(connection: sa.Connection, opened: Sequence[Notification]) -> None:
    if opened:
        connection.execute(sa.insert(notifications), [vars(notification) for notification in opened])


def insert_members(connection: sa.Connection, joining: Sequence[Member]) -> None:
    if joining:
        connection.execute(sa.insert(notified), [vars(member) for member in joining])


def delete_members(connection: sa.Connection, leaving: Sequence[Member]) -> None:
    if leaving:
        is_member = (notified.c.notification_id == sa.bindparam("n"), notified.c.incident_id == sa.bindparam("i"))
        values = [{"n": member.notification_id, "i": member.incident_id} for member in leaving]
        connection.execute(sa.delete(notified).where(*is_member), values)


def mark_told(connection: sa.Connection, telling: Sequence[Member]) -> None:
    """Store `told_at` and `told_count` of these members."""
    if telling:
        is_member = (notified.c.notification_id == sa.bindparam("n"), notified.c.incident_id == sa.bindparam("i"))
        values = [
            {"n": member.notification_id, "i": member.incident_id, "at": member.told_at, "seen": member.told_count}
            for member in telling
        ]
        connection.execute(
            sa.update(notified).where(*is_member).values(told_at=sa.bindparam("at"), told_count=sa.bindparam("seen")),
            values,
        )


def update_notifications(connection: sa.Connection, notification_ids: Iterable[str], **values: datetime) -> None:
    """Set moments of these notifications."""
    is_listed = notifications.c.notification_id.in_(list(notification_ids))
    connection.execute(sa.update(notifications).where(is_listed).values(**values))


def delete_notifications(connection: sa.Connection, notification_ids: Iterable[str]) -> None:
    """Delete notifications of which nothing was ever sent."""
    ids = list(notification_ids)
    if ids:
        connection.execute(sa.delete(notified).where(notified.c.notification_id.in_(ids)))
        connection.execute(sa.delete(notifications).where(notifications.c.notification_id.in_(ids)))


def prune_notifications(connection: sa.Connection, now: datetime) -> None:
    """Delete notifications that were closed longer than `KEPT` ago."""
    old = notifications.c.closed_at < now - KEPT
    gone = sa.select(notifications.c.notification_id).where(old)
    connection.execute(sa.delete(notified).where(notified.c.notification_id.in_(gone)))
    connection.execute(sa.delete(notifications).where(old))
