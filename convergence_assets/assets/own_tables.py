"""Checks that a step's SQL, with its names resolved, reads only its own tables and sources."""

from convergence_assets.assets.schema_mapping import shared_views, target_table
from convergence_assets.tenancy.tenant import Step, Tenant
from convergence_assets.warehouse.errors import AccessDenied
from convergence_assets.warehouse.schema import TableRef
from convergence_assets.warehouse.statements import table_names


def refuse_others(sql: str, tenant: Tenant, step: Step, *more: TableRef) -> None:
    """Raises `AccessDenied` where a statement reads a table that is none of the step's, nor one of `more`.

    Names with a dot are refused when the SQL is compiled; this checks the text that is sent.
    """
    sources = [TableRef.parse(name) for source in step.sources.values() for name in source.tables]
    views = [view.view for view in shared_views(tenant, step.sources.values())]
    own_tables = {target_table(tenant, name) for name in (*step.upstream, step.table)}
    own_tables |= {table for query in step.replaced.values() for table in table_names(query)}
    others = set(table_names(sql)) - {*own_tables, *sources, *views, *more}
    if others:
        others_listed = ", ".join(sorted(map(str, others)))
        raise AccessDenied(
            f"{step.table} would read {others_listed}, which is no table of its own and none of its sources"
        )
