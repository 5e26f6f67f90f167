"""The runs index: each run of a pipeline as Dagster last told of it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

RunStatus = Literal["queued", "running", "succeeded", "failed", "canceled"]


@dataclass(frozen=True)
class IndexedRun:
    """A run's part in one pipeline of one tenant; moments are UTC, `first` and `last` its partitions.

    `dagster_status` is Dagster's own word (QUEUED, STARTING, STARTED, CANCELING, ...). `trigger` is schedule, manual,
    api, backfill, catch_up or retry. `stuck_reason` is set by the remedy of a stuck run.
    """

    run_id: str
    tenant_id: str
    pipeline: str
    status: RunStatus
    dagster_status: str
    trigger: str
    triggered_by: str | None
    first: date | None
    last: date | None
    config_version: str | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    rows_published: int
    bytes_billed: int
    error_class: str | None
    error_message: str | None
    stuck_reason: str | None
    updated_at: datetime

    @property
    def partition(self) -> str | None:
        """A day, or `first...last`."""
        if self.first is None:
            return None
        return str(self.first) if self.first == self.last else f"{self.first}...{self.last}"
