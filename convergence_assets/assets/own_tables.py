"""What a step's SQL reads once its names are put in: its own tables and sources, and nothing else."""

from convergence_assets.assets.schema_mapping import shared_views, target_table
from convergence_assets.tenancy.tenant import Step, Tenant
from convergence_assets.warehouse.errors import AccessDenied
from convergence_assets.warehouse.schema import TableRef
from convergence_assets.warehouse.statements import table_names


def refuse_others(sql: str, tenant: Tenant, step: Step, *more: TableRef) -> None:
    """Raises `AccessDenied` where a statement reads a table that is none of the step's, nor one of `more`.

    Names with a dot are refused where the SQL is read already; this is asked of the very text that is sent.
    """
    sources = [TableRef.parse(name) for source in step.sources.values() for name in source.tables]
    views = [view.view for view in shared_views(tenant, step.sources.values())]
    own = {target_table(tenant, name) for name in (*step.upstream, step.table)}
    others = set(table_names(sql)) - {*own, *sources, *views, *more}
    if others:
        named = ", ".join(sorted(map(str, others)))
        raise AccessDenied(f"{step.table} would read {named}, which is no table of its own and none of its sources")
