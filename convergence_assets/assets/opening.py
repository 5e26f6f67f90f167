"""Settings to an open warehouse: the one place that chooses the adapter."""

from convergence_assets.settings import Settings, SettingsError
from convergence_assets.warehouse.interface import Warehouse


def open_warehouse(settings: Settings) -> Warehouse:
    """The active warehouse, to be closed by `with`; raises `SettingsError` where there is no adapter for it."""
    if settings.warehouse == "embedded":
        from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse

        return DuckDBWarehouse(settings.warehouse_folder)
    raise SettingsError(
        f"the BigQuery warehouse was chosen ({settings.warehouse_reason}) and this version runs on the embedded one: "
        "set CONVERGENCE_WAREHOUSE=embedded"
    )
