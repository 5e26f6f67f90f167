"""Messages to be sent: written with the decision to send them, leased by their sender, kept until sent.

Messages of a destination are sent in the order in which they were decided. One that the receiver refused waits by
itself, with those of the same notification behind it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from convergence_assets.control.tables import notifications, outbox
from convergence_assets.redaction import redacted

Action = Literal["trigger", "update", "repeat", "refresh", "acknowledge", "resolve"]
LEASE = timedelta(seconds=60)
KEPT = timedelta(days=30)
# Those that people see; only they delay the next repeat.
_TELLING = ("trigger", "update", "repeat")


@dataclass(frozen=True)
class Waiting:
    """A message leased to one sender; `payload` is the rendered message, as JSON."""

    id: int
    notification_id: str
    destination: str
    action: Action
    payload: str
    created_at: datetime
    attempts: int
    first_failed_at: datetime | None


@dataclass(frozen=True)
class DestinationQueue:
    """The messages that wait for a destination: since when, and the newest failure."""

    destination: str
    messages: int
    oldest: datetime
    attempts: int
    last_error: str | None


def enqueue_message(
    connection: sa.Connection, notification_id: str, destination: str, action: Action, payload: str, now: datetime
) -> None:
    row = {
        "notification_id": notification_id,
        "destination": destination,
        "action": action,
        "payload": payload,
        "created_at": now,
        "attempts": 0,
        "next_try_at": now,
        "refused": False,
    }
    connection.execute(sa.insert(outbox), row)


def unsent_notifications(connection: sa.Connection) -> set[str]:
    """The notifications with an unsent message."""
    return set(connection.scalars(sa.select(outbox.c.notification_id).where(outbox.c.sent_at.is_(None)).distinct()))


def destinations(connection: sa.Connection) -> Sequence[str]:
    """Those with unsent messages, the longest waiting first."""
    query = sa.select(outbox.c.destination).where(outbox.c.sent_at.is_(None)).group_by(outbox.c.destination)
    return list(connection.scalars(query.order_by(sa.func.min(outbox.c.id))))


def claim_next(
    connection: sa.Connection, destination: str, holder: str, now: datetime, passed: Collection[int] = ()
) -> Waiting | None:
    """Lease the next message of a destination to `holder` for `LEASE`; None where nothing is due or another holds one.

    `passed` are messages that the holder has tried already. Claiming transactions of one destination must run one after
    the other.
    """
    rows = connection.execute(
        sa.select(outbox.c.id, outbox.c.notification_id, outbox.c.next_try_at, outbox.c.leased_until, outbox.c.refused)
        .where(outbox.c.destination == destination, outbox.c.sent_at.is_(None))
        .order_by(outbox.c.id)
    ).all()
    if any(row.leased_until is not None and row.leased_until > now for row in rows):
        return None
    behind: set[str] = set()
    for row in rows:
        due = row.next_try_at <= now and row.id not in passed
        if row.notification_id not in behind and due:
            return _lease(connection, row.id, holder, now)
        if not row.refused and row.notification_id not in behind:
            return None  # the destination itself does not answer: nothing overtakes its oldest message
        behind.add(row.notification_id)
    return None


def mark_sent(connection: sa.Connection, message: Waiting, holder: str, now: datetime) -> bool:
    """Record that the message arrived; False where the lease had expired and another sender took it."""
    is_leased = (outbox.c.id == message.id, outbox.c.leased_by == holder, outbox.c.sent_at.is_(None))
    sent = sa.update(outbox).where(*is_leased).values(sent_at=now, leased_by=None, leased_until=None)
    if not connection.execute(sent).rowcount:
        return False
    if message.action in _TELLING:
        of_notification = notifications.c.notification_id == message.notification_id
        connection.execute(sa.update(notifications).where(of_notification).values(told_at=now, posted_at=now))
    return True


def mark_failed(
    connection: sa.Connection,
    message: Waiting,
    holder: str,
    now: datetime,
    *,
    error: str,
    next_try_at: datetime,
    refused: bool,
) -> bool:
    """Record that the message probably did not arrive; False where the lease had expired and another sender took it."""
    is_leased = (outbox.c.id == message.id, outbox.c.leased_by == holder, outbox.c.sent_at.is_(None))
    values = {
        "attempts": message.attempts + 1,
        "first_failed_at": message.first_failed_at or now,
        "last_error": redacted(error),
        "next_try_at": next_try_at,
        "refused": refused,
        "leased_by": None,
        "leased_until": None,
    }
    return bool(connection.execute(sa.update(outbox).where(*is_leased).values(values)).rowcount)


def last_sent(connection: sa.Connection, destination: str) -> datetime | None:
    """When a destination last accepted a message."""
    sent_at: datetime | None = connection.scalar(
        sa.select(outbox.c.sent_at)
        .where(outbox.c.destination == destination, outbox.c.sent_at.is_not(None))
        .order_by(outbox.c.sent_at.desc())
        .limit(1)
    )
    return sent_at


def has_failing(connection: sa.Connection, destination: str, failures: int) -> bool:
    """Whether a message to a destination has failed that often and is still unsent."""
    is_failing = (outbox.c.destination == destination, outbox.c.sent_at.is_(None), outbox.c.attempts >= failures)
    return connection.execute(sa.select(outbox.c.id).where(*is_failing).limit(1)).first() is not None


def destination_queues(connection: sa.Connection) -> Sequence[DestinationQueue]:
    """Unsent messages by destination, the longest waiting first."""
    unsent = sa.select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.id)
    queues: dict[str, DestinationQueue] = {}
    for row in connection.execute(unsent):
        before = queues.get(row.destination)
        queues[row.destination] = DestinationQueue(
            row.destination,
            messages=before.messages + 1 if before else 1,
            oldest=before.oldest if before else row.created_at,
            attempts=max(before.attempts, row.attempts) if before else row.attempts,
            last_error=row.last_error or (before.last_error if before else None),
        )
    return list(queues.values())


def prune_outbox(connection: sa.Connection, now: datetime, routed: Collection[str]) -> None:
    """Delete what was sent longer than `KEPT` ago, and what waited as long for a destination without a route."""
    connection.execute(sa.delete(outbox).where(outbox.c.sent_at < now - KEPT))
    unsent = (outbox.c.sent_at.is_(None), outbox.c.created_at < now - KEPT)
    old = set(connection.scalars(sa.select(outbox.c.destination).where(*unsent).distinct()))
    connection.execute(sa.delete(outbox).where(*unsent, outbox.c.destination.in_(old - set(routed))))


def _lease(connection: sa.Connection, message_id: int, holder: str, now: datetime) -> Waiting:
    leased = sa.update(outbox).where(outbox.c.id == message_id).values(leased_by=holder, leased_until=now + LEASE)
    connection.execute(leased)
    columns = [outbox.c[name] for name in Waiting.__dataclass_fields__]
    row = connection.execute(sa.select(*columns).where(outbox.c.id == message_id)).one()
    return Waiting(**row._mapping)
