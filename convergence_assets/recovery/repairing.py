"""Recreates the control store: from the copy of its file, and from what Dagster knows of published days."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from convergence_assets.assets.factory import asset_key
from convergence_assets.control.errors import ControlError
from convergence_assets.control.location import control_url
from convergence_assets.control.publications import Publications
from convergence_assets.control.published_locations import PublishedLocation, place_of, set_location
from convergence_assets.control.store import ControlStore, backup_of
from convergence_assets.ledger.follow import Follower
from convergence_assets.ledger.rebuild import follow_to_the_end, reset_ledger
from convergence_assets.recovery.state_files import StateFile
from convergence_assets.settings import Settings
from convergence_assets.tenancy.description import dataset_of
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline

_AT_ONCE = 500
_ROWS = "dagster/partition_row_count"


@dataclass(frozen=True)
class _Materialization:
    """A day of a table as Dagster recorded its publication; `number` gives the order."""

    number: int
    run_id: str
    day: date
    rows: int


def was_not_ended(settings: Settings) -> bool:
    """Whether a repair of the control store was begun and interrupted."""
    return _marker(settings).exists()


def repair_control_store(settings: Settings, instance: dg.DagsterInstance, damaged: StateFile | None) -> Iterator[str]:
    """Move the damaged file aside and recreate it, or resume an interrupted repair; what was done, in words.

    Raises `ControlError`.
    """
    _marker(settings).touch()
    if damaged is not None:
        yield f"moved to {damaged.put_aside()}"
    yield from _from_copy(settings)
    store = ControlStore.open(settings)
    tenants = load_tenants(settings).tenants
    publications, count = Publications(store), 0
    for tenant in tenants.values():
        steps = [(pipeline, step) for pipeline in tenant.pipelines for step in pipeline.steps]
        recorded = sum(_record(instance, publications, tenant, pipeline, step) for pipeline, step in steps)
        if recorded:
            _end_requests(store, settings, tenant)
        count += recorded
    yield f"{count} published days of tables taken from Dagster's records"
    reset_ledger(store)
    unreadable = follow_to_the_end(Follower(store, instance, tenants), store, lambda indexed, unread: None)
    yield "the runs index read again from Dagster" + (f", but for {len(unreadable)} runs" if unreadable else "")
    yield "not known any more, where no copy had it: API keys (convergence keys create), pauses, who was told of what"
    _marker(settings).unlink()


def _marker(settings: Settings) -> Path:
    return settings.home / "control-store-repair-not-ended"


def _from_copy(settings: Settings) -> Iterator[str]:
    url = control_url(settings)
    if url.get_backend_name() != "sqlite":
        raise ControlError("the control store is on Postgres. Next: restore it with Postgres's own tools")
    file = Path(str(url.database))
    copy = backup_of(file)
    if file.exists():
        yield "the repair that was begun before goes on"
    elif copy.exists() and StateFile(copy, "", "").damage() is None:
        scratch = file.with_name(f"{file.name}.coming-back")
        shutil.copyfile(copy, scratch)
        scratch.replace(file)
        at = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
        yield f"the copy of {at:%Y-%m-%d %H:%M} UTC brought back; what came after it is not in it"
        yield "API keys that were revoked after it are valid again: `convergence keys list`, then revoke them again"
    else:
        yield "there is no copy that can be read: an empty one is made"


def _record(
    instance: dg.DagsterInstance, publications: Publications, tenant: Tenant, pipeline: TenantPipeline, step: Step
) -> int:
    """Record days that the store does not know, in the order in which they were published."""
    table = step.table
    materialized = _materializations(instance, asset_key(tenant, pipeline, table))
    if not materialized:
        return 0
    recorded = publications.between(
        tenant.tenant_id, [table], min(m.day for m in materialized), max(m.day for m in materialized)
    )
    new = [m for m in materialized if (table, m.day) not in recorded]
    by_run: dict[str, dict[date, int]] = {}
    for one in sorted(new, key=lambda m: m.number):
        by_run.setdefault(one.run_id, {})[one.day] = one.rows
    for run_id, rows in by_run.items():
        through = publications.newest_version()
        publications.record(
            tenant.tenant_id, pipeline.name, table, rows,
            run_id=run_id, read_through=through, table_version=step.spec.version,
        )  # fmt: skip
    return len(new)


def _materializations(instance: dg.DagsterInstance, key: dg.AssetKey) -> Sequence[_Materialization]:
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(key, kind)
    numbers, materialized = sorted(newest.values()), list[_Materialization]()
    for start in range(0, len(numbers), _AT_ONCE):
        some = dg.AssetRecordsFilter(asset_key=key, storage_ids=numbers[start : start + _AT_ONCE])
        for record in instance.fetch_materializations(some, limit=_AT_ONCE).records:
            published = record.asset_materialization
            day = _day(published.partition) if published else None
            if published is not None and day is not None:
                rows = published.metadata.get(_ROWS)
                materialized.append(
                    _Materialization(record.storage_id, record.run_id, day, int(str(rows.value)) if rows else 0)
                )
    return materialized


def _day(partition: str | None) -> date | None:
    try:
        return date.fromisoformat(partition or "")
    except ValueError:
        return None


def _end_requests(store: ControlStore, settings: Settings, tenant: Tenant) -> None:
    with store.write() as connection:
        if place_of(connection, tenant.tenant_id) is None:
            here = PublishedLocation(tenant.timezone, dataset_of(tenant, settings.project))
            set_location(connection, tenant.tenant_id, here, store.now())
