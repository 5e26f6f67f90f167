"""The audit log: who did what to which tenant, key or run, when, and with what outcome."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.tables import audit
from convergence_assets.redaction import redacted

KEPT = timedelta(days=400)
_LONGEST = 200
UNKNOWN = "unknown"
"""The actor of a request without a valid key."""
_log = logging.getLogger("convergence.audit")


@dataclass(frozen=True)
class AuditEntry:
    """What somebody did. `actor` is a key's id, `admin`, a user of the command, or `unknown`; `address` is where a
    request came from; `subject` is what it was done to: a key, a run, a fingerprint."""

    actor: str
    action: str
    outcome: str
    tenant_id: str | None = None
    subject: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class RecordedEntry:
    """An entry with its moment (UTC)."""

    moment: datetime
    entry: AuditEntry


def fitted(text: str) -> str:
    """A text as the log stores it: without secrets, truncated."""
    return redacted(text)[:_LONGEST]


def record_entry(connection: sa.Connection, entry: AuditEntry, now: datetime) -> None:
    """Record an entry in the caller's transaction, and in the process's log."""
    row = {name: fitted(value) if value else value for name, value in vars(entry).items()}
    connection.execute(sa.insert(audit), row | {"moment": now})
    summary = ", ".join(f"{name}={value}" for name, value in row.items() if value)
    failed = "authentication failed, " if entry.actor == UNKNOWN and entry.outcome.startswith("refused: ") else ""
    _log.info("audit: %s%s", failed, summary, extra={"audit": row, "tenant": entry.tenant_id})


def recorded_entries(
    connection: sa.Connection, tenant_id: str | None = None, limit: int = 1000, since: datetime | None = None
) -> Sequence[RecordedEntry]:
    """The newest first; of all tenants or of one."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if since is not None:
        query = query.where(audit.c.moment >= since)
    if tenant_id is not None:
        query = query.where(audit.c.tenant_id == tenant_id)
    return [
        RecordedEntry(
            row.moment, AuditEntry(row.actor, row.action, row.outcome, row.tenant_id, row.subject, row.address)
        )
        for row in connection.execute(query)
    ]


def prune_audit(connection: sa.Connection, now: datetime) -> None:
    """Delete what is older than `KEPT`."""
    connection.execute(sa.delete(audit).where(audit.c.moment < now - KEPT))
