"""Every warehouse adapter: the embedded one, and BigQuery's against a local server."""

from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from tests.warehouse.contract import Open

WAREHOUSES = ["embedded", pytest.param("bigquery", marks=pytest.mark.peer)]


@pytest.fixture(params=WAREHOUSES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "embedded":
        return lambda: DuckDBWarehouse(tmp_path / "warehouse")
    settings = request.getfixturevalue("peer").settings(tmp_path)
    return lambda: open_warehouse(settings)
