"""What changed and who did what, in one order: the first thing to compare an incident with."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from convergence_assets.control import audit, change_log, partition_states

_REFUSED = "refused"
"""The prefix of the outcome of what was not done."""


@dataclass(frozen=True)
class Happened:
    """`kind` is config, code, schema or release (first seen at `moment`), deed (somebody did it), or pause (one in
    effect). `by` is who, or the run that made or saw it."""

    moment: datetime
    kind: str
    tenant_id: str | None
    subject: str
    said: str
    by: str | None


def happened(connection: sa.Connection, since: datetime, tenant_id: str | None = None) -> list[Happened]:
    """Everything since a moment, the oldest first; that of a tenant includes what is of no tenant."""
    entries = [
        Happened(c.moment, c.kind, c.tenant_id, c.subject, c.said, f"run {c.run_id}" if c.run_id else None)
        for c in change_log.changes_since(connection, since, tenant_id)
    ]
    for recorded in audit.recorded_entries(connection, limit=100_000, since=since):
        action = recorded.entry
        if action.tenant_id in (None, tenant_id or action.tenant_id) and not action.outcome.startswith(_REFUSED):
            description = action.action if action.outcome == "done" else f"{action.action}: {action.outcome}"
            entries.append(
                Happened(recorded.moment, "deed", action.tenant_id, action.subject or "", description, action.actor)
            )
    for pause in partition_states.all_pauses(connection).values():
        if pause.paused_at >= since and tenant_id in (None, pause.tenant_id):
            subject = pause.pipeline or "all pipelines"
            entries.append(Happened(pause.paused_at, "pause", pause.tenant_id, subject, pause.reason, pause.paused_by))
    return sorted(entries, key=lambda one: one.moment)
