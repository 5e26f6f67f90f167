"""Days without rows, which are not days whose rows are wrong: they have an error class of their own."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from convergence_assets.assets.files import shown, source_files
from convergence_assets.assets.structure import NOT_EMPTY
from convergence_assets.pipelines.models import FilesStep
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline

NO_DATA = "no_data"
"""The error class of a step that published not all of its partitions, because they have no rows (yet)."""


def has_no_data(stopped_by: Sequence[str]) -> bool:
    """Whether a day was stopped for having no rows, and for nothing else."""
    return tuple(stopped_by) == (NOT_EMPTY,)


def places(step: Step, day: date) -> str:
    """Where a step looked for the rows of a day: its files, its sources, or the tables that it reads."""
    if isinstance(step.spec, FilesStep):
        return f"files {shown((step.path or step.spec.path).replace('{date}', day.isoformat()))}"
    if step.sources:
        return ", ".join(f"source {table}" for source in step.sources.values() for table in source.tables)
    return ", ".join(f"table {name}" for name in step.upstream) or f"the SQL of {step.table}"


def why_no_data(step: Step, stopped: Mapping[date, Sequence[str]]) -> str:
    """The sentence for days without rows, with the places where they were looked for."""
    days = sorted(day for day, names in stopped.items() if has_no_data(names))
    shown = ", ".join(str(day) for day in days[:5]) + (f" and {len(days) - 5} more days" if len(days) > 5 else "")
    return f"no rows yet for {shown} in {places(step, days[0])}"


def without_source(tenant: Tenant, step: Step, days: Sequence[date], markers: Collection[date]) -> list[date]:
    """Of days for which a step yields no rows, those whose source is not known to be there still: there is no file; its
    late-data query finds nothing of the day, or it has none; or a table that it reads has expired.

    An expired source looks like one that was corrected to nothing. `markers` are the days that have a late-data marker.
    """
    if isinstance(step.spec, FilesStep):
        return [day for day in days if not _has_files(tenant, step, day)]
    if step.sources:
        return [day for day in days if day not in markers]
    specs = [other.spec for pipeline in tenant.pipelines for other in pipeline.steps if other.table in step.upstream]
    expirations = [spec.partition_expiration_days for spec in specs if spec.partition_expiration_days]
    oldest = datetime.now(UTC).date() - timedelta(days=min(expirations)) if expirations else date.min
    return [day for day in days if day < oldest]


def _has_files(tenant: Tenant, step: Step, day: date) -> bool:
    with source_files(step, [day], tenant.private_hosts) as files:
        return bool(files)


def why_kept(tenant: Tenant, pipeline: TenantPipeline, days: Sequence[date]) -> str:
    """The sentence for days that are published with rows, and would have been emptied."""
    shown_days = ", ".join(str(day) for day in days[:5]) + (f" and {len(days) - 5} more days" if len(days) > 5 else "")
    return (
        f"The published rows of {shown_days} are kept, since their source may have expired, or what they read is not "
        f"published. If a day is to be without rows: `convergence run {tenant.tenant_id} {pipeline.name} --partition "
        f"{days[0]}`, once what it reads is published."
    )
