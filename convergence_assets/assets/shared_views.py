"""Views of a tenant's rows of shared sources on BigQuery, made by the platform's account for the tenant's to read."""

from collections.abc import Iterable

from convergence_assets.assets.schema_mapping import shared_views
from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Source, Tenant


def ensure_shared_views(settings: Settings, tenant: Tenant, sources: Iterable[Source]) -> None:
    """Make those that are not there yet. Raises `WarehouseError`."""
    views = shared_views(tenant, sources)
    if not views:
        return
    with open_bigquery(settings, tenant.location) as warehouse:
        for view in views:
            warehouse.ensure_view(view.view, view.sql(warehouse.project))
