"""What a run's statements cost, and a warning with advice for those that were slow or heavy."""

from collections.abc import Sequence

import dagster as dg

from convergence_assets.pipelines.advice import Advice, advise
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.interface import GIGABYTE, Statement

_NO_ADVICE = "look at the job's plan for its longest stage"


def statement_metadata(
    tenant: Tenant, pipeline: TenantPipeline, step: Step, statements: Sequence[Statement]
) -> dict[str, dg.MetadataValue]:
    """Metadata of a materialisation; empty on a warehouse that does not account for jobs."""
    if not statements:
        return {}
    billed = sum(s.bytes_billed or 0 for s in statements)
    metadata: dict[str, dg.MetadataValue] = {
        "bytes_processed": dg.MetadataValue.int(sum(s.bytes_processed or 0 for s in statements)),
        "bytes_billed": dg.MetadataValue.int(billed),
        "slot_ms": dg.MetadataValue.int(sum(s.slot_ms or 0 for s in statements)),
        "jobs": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "job": s.job_id,
                        "kind": s.kind,
                        "seconds": round(s.seconds, 3),
                        "bytes_billed": s.bytes_billed or 0,
                        "slot_ms": s.slot_ms or 0,
                        "cache_hit": s.cache_hit,
                        "attached": s.attached,
                        "link": s.link or "",
                    }
                )
                for s in statements
            ]
        ),
    }
    if noticed := [s for s in statements if _is_slow(pipeline, s) or _is_heavy(pipeline, s)]:
        advice = "; ".join(a.message for a in step_advice(tenant, step))
        lines = (f"- {_warning(pipeline, s)}: {advice or _NO_ADVICE}" for s in noticed)
        metadata["slow_or_heavy"] = dg.MetadataValue.md("\n".join(lines))
    return metadata


def step_advice(tenant: Tenant, step: Step) -> tuple[Advice, ...]:
    """What makes a step's SELECT expensive; empty for files."""
    if step.sql is None:
        return ()
    partitioned = {s.table: s.spec.partition_column for p in tenant.pipelines for s in p.steps}
    widths = {s.table: len(s.spec.columns) for p in tenant.pipelines for s in p.steps}
    for name, source in step.sources.items():
        widths[name] = len(source.spec.columns)
        if source.spec.partition_column:
            partitioned[name] = source.spec.partition_column
    return advise(step.sql.text, partitioned, widths)


def _is_slow(pipeline: TenantPipeline, statement: Statement) -> bool:
    return statement.seconds > pipeline.slow_seconds


def _is_heavy(pipeline: TenantPipeline, statement: Statement) -> bool:
    return (statement.bytes_processed or 0) > pipeline.heavy_gigabytes * GIGABYTE


def _warning(pipeline: TenantPipeline, statement: Statement) -> str:
    read = (statement.bytes_processed or 0) / GIGABYTE
    return (
        f"`{statement.job_id}` ({statement.kind}) took {statement.seconds:.0f} s and read {read:.1f} GB "
        f"(warned above {pipeline.slow_seconds} s or {pipeline.heavy_gigabytes} GB)"
    )
