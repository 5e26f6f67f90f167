"""What an alert says, and what makes two of them one incident."""

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
Kind = Literal[
    "run_failed", "run_canceled", "run_stuck", "quality_failed", "quality_degraded", "no_data", "partition_late",
    "config_rejected", "ledger_lag", "daemon_dead", "location_dead", "automation_failing", "delivery_failing",
    "warehouse_unavailable", "quota_near", "late_data_unasked", "shares_wrong",
]  # fmt: skip


@dataclass(frozen=True)
class Alert:
    """One condition that people should know about.

    `tenant_id` None: the platform itself. `partition` is a day, or `first...last`. `cause` is what alerts of several
    tenants have in common when one thing is behind them (an error class, say). `runbook` is the anchor of a section of
    docs/RUNBOOK.md. Texts contain no secret and no sensitive value.
    """

    kind: Kind
    severity: Severity
    title: str
    happened: str
    done: str
    next_step: str
    runbook: str
    tenant_id: str | None = None
    pipeline: str | None = None
    partition: str | None = None
    table: str | None = None
    run_id: str | None = None
    cause: str = ""

    @property
    def fingerprint(self) -> str:
        """The same for every alert about one condition, whichever run reports it."""
        return fingerprint(self.kind, self.tenant_id, self.pipeline, self.partition, self.table)


def fingerprint(
    kind: Kind,
    tenant_id: str | None = None,
    pipeline: str | None = None,
    partition: str | None = None,
    table: str | None = None,
) -> str:
    """Sixteen hexadecimal digits."""
    text = "\0".join(part or "" for part in (kind, tenant_id, pipeline, partition, table))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
