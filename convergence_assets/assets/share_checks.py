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
"""How many of the export's newest partitions are counted; BigQuery bills for them once a day."""
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
                counts = count_shares(warehouse, shared, reader.spec, first, today, _GIGABYTES)
        except WarehouseError as error:
            # Unknown is not passed; only a warning, since nobody is known to be billed wrongly.
            return dg.AssetCheckResult(
                passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"{error}. Next: {error.remedy}"
            )
        return dg.AssetCheckResult(
            passed=counts.adds_up,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata=dict(_metadata(counts)),
            description=None if counts.adds_up else _difference(counts),
        )

    return parts_make_the_whole


def _difference(counts: ShareCounts) -> str:
    rows = sum(part.rows for part in counts.parts.values())
    text = f"{counts.first} to {counts.last}: the parts have {rows:,} rows, the whole {counts.whole.rows:,}"
    if counts.whole.cost is not None:
        text += (
            f"; they cost {sum(p.cost for p in counts.parts.values() if p.cost is not None)}, it {counts.whole.cost}"
        )
    return text


def _metadata(counts: ShareCounts) -> Iterator[tuple[str, dg.MetadataValue]]:
    for owner, part in {**counts.parts, "all": counts.whole}.items():
        name = "the rest" if owner == REST else owner
        yield f"rows of {name}", dg.MetadataValue.int(part.rows)
        if part.cost is not None:
            yield f"cost of {name}", dg.MetadataValue.text(str(part.cost))
