"""The operator's check of each shared source: the rows and the cost of all tenants and the rest are those of the
whole."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from convergence_assets.assets.factory import source_key
from convergence_assets.assets.share_counts import Reader, ShareCounts, count_shares, read_sources, reader_of
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.tenancy.sharing import REST, SharedSource
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.warehouse.errors import WarehouseError

CHECK = "parts_make_the_whole"
JOB = "shared_sources"
CRON = "30 8 * * *"
DAYS = 7
"""So many of the export's newest partitions are counted; BigQuery is paid for them once a day."""
_GIGABYTES = 100


def share_check_key(shared: SharedSource, registry: TenantRegistry) -> dg.AssetCheckKey | None:
    """None where no tenant reads the source."""
    reader = reader_of(shared, registry)
    return dg.AssetCheckKey(source_key(reader.table), CHECK) if reader else None


def build_share_checks(
    registry: TenantRegistry, settings: Settings
) -> tuple[list[dg.AssetChecksDefinition], list[dg.ScheduleDefinition]]:
    """A check on each shared source that a tenant reads, and the schedule that evaluates them once a day."""
    checks = [_check(shared, reader, settings) for shared, reader in read_sources(registry)]
    if not checks:
        return [], []
    job = dg.define_asset_job(JOB, dg.AssetSelection.checks(*checks), description="Counts whose each row is.")
    on = dg.DefaultScheduleStatus.RUNNING
    return checks, [dg.ScheduleDefinition(JOB, job=job, cron_schedule=CRON, default_status=on)]


def _check(shared: SharedSource, reader: Reader, settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=source_key(reader.table),
        name=CHECK,
        description=f"Every row and all of the cost of `{shared.table}` is one tenant's, or the rest's ({DAYS} days)",
    )
    def parts_make_the_whole() -> dg.AssetCheckResult:
        today = datetime.now(UTC).date()
        try:
            with open_warehouse(settings) as warehouse:
                first = today - timedelta(days=DAYS)
                found = count_shares(warehouse, shared, reader.spec, first, today, _GIGABYTES)
        except WarehouseError as error:
            # Not known is not passed; a warning, since nobody is known to be billed wrongly.
            return dg.AssetCheckResult(
                passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"{error}. Next: {error.remedy}"
            )
        return dg.AssetCheckResult(
            passed=found.adds_up,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=dict(_metadata(found)),
            description=None if found.adds_up else _difference(found),
        )

    return parts_make_the_whole


def _difference(found: ShareCounts) -> str:
    rows = sum(part.rows for part in found.parts.values())
    text = f"{found.first} to {found.last}: the parts have {rows:,} rows, the whole {found.whole.rows:,}"
    if found.whole.cost is not None:
        text += f"; they cost {sum(p.cost for p in found.parts.values() if p.cost is not None)}, it {found.whole.cost}"
    return text


def _metadata(found: ShareCounts) -> Iterator[tuple[str, dg.MetadataValue]]:
    for owner, part in {**found.parts, "all": found.whole}.items():
        name = "the rest" if owner == REST else owner
        yield f"rows of {name}", dg.MetadataValue.int(part.rows)
        if part.cost is not None:
            yield f"cost of {name}", dg.MetadataValue.text(str(part.cost))
