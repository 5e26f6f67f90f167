"""The audit log: who did what to which tenant, key or run, when, and what became of it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.tables import audit
from convergence_assets.redaction import redacted

KEPT = timedelta(days=400)
_LONGEST = 200
_log = logging.getLogger("convergence.audit")


@dataclass(frozen=True)
class Deed:
    """What somebody did. `actor` is a key's id, `admin`, a user of the command, or `unknown`; `address` is where a
    request came from; `subject` is what it was done to: a key, a run, a fingerprint."""

    actor: str
    action: str
    outcome: str
    tenant_id: str | None = None
    subject: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class Noted:
    """A deed with its moment (UTC)."""

    moment: datetime
    deed: Deed


def fitted(text: str) -> str:
    """A text as the log keeps it: without secrets, and cut."""
    return redacted(text)[:_LONGEST]


def note(connection: sa.Connection, deed: Deed, now: datetime) -> None:
    """Write a deed down in the caller's transaction, and say it in the log."""
    row = {name: fitted(said) if said else said for name, said in vars(deed).items()}
    connection.execute(sa.insert(audit), row | {"moment": now})
    told = ", ".join(f"{name}={said}" for name, said in row.items() if said)
    _log.info("audit: %s", told, extra={"audit": row, "tenant": deed.tenant_id})


def noted(
    connection: sa.Connection, tenant_id: str | None = None, limit: int = 1000, since: datetime | None = None
) -> Sequence[Noted]:
    """The newest first; of all tenants, or of one."""
    wanted = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if since is not None:
        wanted = wanted.where(audit.c.moment >= since)
    if tenant_id is not None:
        wanted = wanted.where(audit.c.tenant_id == tenant_id)
    return [
        Noted(row.moment, Deed(row.actor, row.action, row.outcome, row.tenant_id, row.subject, row.address))
        for row in connection.execute(wanted)
    ]


def forget(connection: sa.Connection, now: datetime) -> None:
    """Drop what is older than `KEPT`."""
    connection.execute(sa.delete(audit).where(audit.c.moment < now - KEPT))
