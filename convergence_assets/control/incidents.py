"""Incidents: a condition from its first to its last report, however often it is reported in between."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import sqlalchemy as sa

from convergence_assets.control.store import upsert
from convergence_assets.control.tables import incidents, notifications, notified
from convergence_assets.redaction import redacted

KEPT = timedelta(days=90)
_SEVERITIES = ("info", "warning", "critical")


class Raised(Protocol):
    """What an incident is raised from: `alerting.alert.Alert`, whose field descriptions apply here."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def happened(self) -> str: ...
    @property
    def done(self) -> str: ...
    @property
    def next_step(self) -> str: ...
    @property
    def runbook(self) -> str: ...
    @property
    def tenant_id(self) -> str | None: ...
    @property
    def pipeline(self) -> str | None: ...
    @property
    def partition(self) -> str | None: ...
    @property
    def table(self) -> str | None: ...
    @property
    def run_id(self) -> str | None: ...
    @property
    def cause(self) -> str: ...


@dataclass(frozen=True)
class Incident:
    """`count` is how often the condition was reported; `resolved_at` None: it is open."""

    incident_id: str
    fingerprint: str
    kind: str
    severity: str
    tenant_id: str | None
    pipeline: str | None
    partition: str | None
    table: str | None
    run_id: str | None
    cause: str
    title: str
    happened: str
    done: str
    next_step: str
    runbook: str
    count: int
    opened_at: datetime
    last_seen_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolution: str | None


def raise_alert(connection: sa.Connection, alert: Raised, now: datetime) -> None:
    """Open an incident, or count one more report of it, within the caller's transaction.

    Its texts become those of this alert. A severity only rises, and rising revokes an acknowledgement. Raise several
    in one transaction in the order of their fingerprints, so that no two transactions wait for each other.
    """
    content = {name: redacted(getattr(alert, name)) for name in ("title", "happened", "done", "next_step", "runbook")}
    seen = {"run_id": alert.run_id, "cause": redacted(alert.cause), "content": json.dumps(content), "last_seen_at": now}
    first = {
        "incident_id": uuid4().hex,
        "fingerprint": alert.fingerprint,
        "kind": alert.kind,
        "severity": alert.severity,
        "tenant_id": alert.tenant_id,
        "pipeline": alert.pipeline,
        "partition": alert.partition,
        "table_name": alert.table,
        "count": 1,
        "opened_at": now,
    }
    rises = incidents.c.severity.in_(_SEVERITIES[: _SEVERITIES.index(alert.severity)])
    again = {
        "count": incidents.c.count + 1,
        "severity": sa.case((rises, alert.severity), else_=incidents.c.severity),
        "acknowledged_at": sa.case((rises, sa.null()), else_=incidents.c.acknowledged_at),
        "acknowledged_by": sa.case((rises, sa.null()), else_=incidents.c.acknowledged_by),
    }
    insert = upsert(connection, incidents).values(first | seen)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["fingerprint"], index_where=incidents.c.resolved_at.is_(None), set_=again | seen
        )
    )


def amend_incident(connection: sa.Connection, fingerprint: str, done: str) -> None:
    """Set what was done about an open incident since it was raised."""
    is_open = (incidents.c.fingerprint == fingerprint, incidents.c.resolved_at.is_(None))
    for row in connection.execute(sa.select(incidents.c.incident_id, incidents.c.content).where(*is_open)).all():
        content = json.dumps(json.loads(row.content) | {"done": done})
        changed = sa.update(incidents).where(incidents.c.incident_id == row.incident_id)
        connection.execute(changed.values(content=content))


def resolve_incident(connection: sa.Connection, fingerprint: str, resolution: str, now: datetime) -> bool:
    """Close the open incident of a fingerprint; False where there is none."""
    is_open = (incidents.c.fingerprint == fingerprint, incidents.c.resolved_at.is_(None))
    closed = sa.update(incidents).where(*is_open).values(resolved_at=now, resolution=resolution)
    return bool(connection.execute(closed).rowcount)


def acknowledge_incidents(connection: sa.Connection, fingerprints: Iterable[str], by: str, now: datetime) -> int:
    """Mark these open incidents as being handled; how many there are."""
    is_open = (incidents.c.fingerprint.in_(list(fingerprints)), incidents.c.resolved_at.is_(None))
    return connection.execute(
        sa.update(incidents).where(*is_open).values(acknowledged_at=now, acknowledged_by=by)
    ).rowcount


def open_incidents(
    connection: sa.Connection, kind: str | None = None, tenant_id: str | None = None
) -> Sequence[Incident]:
    """The open ones, the oldest first."""
    query = sa.select(incidents).where(incidents.c.resolved_at.is_(None))
    if kind is not None:
        query = query.where(incidents.c.kind == kind)
    if tenant_id is not None:
        query = query.where(incidents.c.tenant_id == tenant_id)
    return _incidents(connection, query.order_by(incidents.c.opened_at, incidents.c.incident_id))


def open_by_severity(connection: sa.Connection) -> dict[str, int]:
    """How many are open."""
    query = sa.select(incidents.c.severity, sa.func.count()).where(incidents.c.resolved_at.is_(None))
    return {row[0]: row[1] for row in connection.execute(query.group_by(incidents.c.severity))}


def all_incidents(connection: sa.Connection) -> Sequence[Incident]:
    """Including those that are over, until they are pruned; the oldest first."""
    return _incidents(connection, sa.select(incidents).order_by(incidents.c.opened_at, incidents.c.incident_id))


def notified_incidents(connection: sa.Connection) -> Sequence[Incident]:
    """The incidents of all notifications that are not closed, including those that are over."""
    joined = sa.join(notified, notifications, notified.c.notification_id == notifications.c.notification_id)
    notified_ids = sa.select(notified.c.incident_id).select_from(joined).where(notifications.c.closed_at.is_(None))
    return _incidents(connection, sa.select(incidents).where(incidents.c.incident_id.in_(notified_ids)))


def prune_incidents(connection: sa.Connection, now: datetime) -> None:
    """Delete incidents that ended longer than `KEPT` ago."""
    connection.execute(sa.delete(incidents).where(incidents.c.resolved_at < now - KEPT))


def _incidents(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[Incident]:
    return [
        Incident(
            incident_id=row.incident_id,
            fingerprint=row.fingerprint,
            kind=row.kind,
            severity=row.severity,
            tenant_id=row.tenant_id,
            pipeline=row.pipeline,
            partition=row.partition,
            table=row.table_name,
            run_id=row.run_id,
            cause=row.cause,
            **json.loads(row.content),
            count=row._mapping["count"],
            opened_at=row.opened_at,
            last_seen_at=row.last_seen_at,
            acknowledged_at=row.acknowledged_at,
            acknowledged_by=row.acknowledged_by,
            resolved_at=row.resolved_at,
            resolution=row.resolution,
        )
        for row in connection.execute(query)
    ]
