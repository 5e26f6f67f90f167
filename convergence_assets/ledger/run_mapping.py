"""A Dagster run as rows of the runs index: its pipelines from asset keys, its trigger from its tags."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

import dagster as dg

from convergence_assets.assets.tags import CONFIG_VERSION_TAG, TRIGGER_TAG, TRIGGERED_BY_TAG
from convergence_assets.control.runs import IndexedRun, RunStatus
from convergence_assets.dagster_internals import run_records
from convergence_assets.tenancy.tenant import Tenant

Name = tuple[str, str]
"""Tenant and pipeline."""

STATUSES: Mapping[str, RunStatus] = {
    "NOT_STARTED": "queued",
    "QUEUED": "queued",
    "STARTING": "queued",
    "SUCCESS": "succeeded",
    "FAILURE": "failed",
    "CANCELED": "canceled",
}
"""Dagster's statuses for them; a run of any other status is running."""
INTERRUPTED = "interrupted"
"""The error class of a run that was ended by its platform: it is canceled, and has not failed."""
_TENANT = re.compile(r"[a-z][a-z0-9_]{2,49}")
_PARTITION = "dagster/partition"
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
_ASKED_BY = (
    ("dagster/backfill", "backfill"),
    ("dagster/schedule_name", "schedule"),
    ("dagster/sensor_name", "catch_up"),
)
_VERSION_DIGITS = 16
_BY_TAGS = (TRIGGERED_BY_TAG, "user")


def has_ended(dagster_status: str) -> bool:
    return status_of(dagster_status) in ("succeeded", "failed", "canceled")


def status_of(dagster_status: str) -> RunStatus:
    return STATUSES.get(dagster_status, "running")


def table_of(key: dg.AssetKey | None) -> tuple[str, str, str] | None:
    """Tenant, pipeline and table of one of this platform's assets; None for any other."""
    if key is None or len(key.path) != 3 or key.path[0] == "source" or not _TENANT.fullmatch(key.path[0]):
        return None
    return key.path[0], key.path[1], key.path[2]


def selected(run: dg.DagsterRun) -> set[Name] | None:
    """The pipelines of the assets and checks that the run selects; None where it does not name them."""
    if not run.asset_selection and not run.asset_check_selection:
        return None
    keys: Iterable[dg.AssetKey] = (
        *(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())
    )  # fmt: skip
    return {table[:2] for key in keys if (table := table_of(key))}


def parts(
    record: dg.RunRecord,
    names: Iterable[Name],
    attempt: int,
    tenants: Mapping[str, Tenant],
) -> list[IndexedRun]:
    """A run that is seen for the first time, one row per pipeline."""
    run = record.dagster_run
    trigger, by = _trigger(run.tags, run.parent_run_id)
    first, last = _days(run.tags)
    return [
        with_status(
            IndexedRun(
                run_id=run.run_id,
                tenant_id=tenant_id,
                pipeline=pipeline,
                status="queued",
                dagster_status="",
                trigger=trigger,
                triggered_by=by,
                first=first,
                last=last,
                config_version=tenants[tenant_id].config_version[:_VERSION_DIGITS] if tenant_id in tenants else None,
                attempt=attempt,
                created_at=_aware(record.create_timestamp),
                started_at=None,
                ended_at=None,
                rows_published=0,
                bytes_billed=0,
                error_class=None,
                error_message=None,
                stuck_reason=None,
                updated_at=_aware(record.create_timestamp),
            ),
            record,
        )
        for tenant_id, pipeline in sorted(names)
    ]


def with_status(part: IndexedRun, record: dg.RunRecord) -> IndexedRun:
    """The row with the run's current status and moments. `updated_at` comes from them and not from a clock, so that a
    rebuilt index is the same."""
    dagster_status = record.dagster_run.status.value
    status = "canceled" if run_records.is_interrupted(record.dagster_run) else status_of(dagster_status)
    started, ended = _moment(record.start_time), _moment(record.end_time)
    if not has_ended(dagster_status):
        ended = None
    elif ended is None:
        ended = _aware(record.update_timestamp)
    return replace(
        part,
        status=status,
        dagster_status=dagster_status,
        started_at=started,
        ended_at=ended,
        # A run reports its loaded version when it begins.
        config_version=record.dagster_run.tags.get(CONFIG_VERSION_TAG, part.config_version),
        updated_at=max(moment for moment in (part.updated_at, started, ended) if moment),
    )


def _trigger(tags: Mapping[str, str], parent: str | None) -> tuple[str, str | None]:
    """What triggered the run, and whose name it carries. A retry has its parent's tags too."""
    if parent:
        return "retry", parent
    by = next((tags[tag] for tag in _BY_TAGS if tag in tags), None)
    named = next(((trigger, tags[tag]) for tag, trigger in _ASKED_BY if tag in tags), None)
    trigger = tags.get(TRIGGER_TAG) or (named[0] if named else "manual")
    return trigger, by or (named[1] if named else None)


def _days(tags: Mapping[str, str]) -> tuple[date | None, date | None]:
    days = [tags.get(tag) for tag in _RANGE] if _RANGE[0] in tags else [tags.get(_PARTITION)] * 2
    try:
        first, last = (date.fromisoformat(day) if day else None for day in days)
    except ValueError:
        return None, None
    return first, last


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp is not None else None
