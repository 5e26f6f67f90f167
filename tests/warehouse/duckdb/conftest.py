"""A connection and a warehouse with a table of BIGNUMERIC each."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.duckdb.numeric import install_functions
from tests.warehouse.duckdb.bignumeric_tables import SCHEMA, TABLE


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute("SET threads = 1")
        install_functions(opened)
        opened.execute(
            f"CREATE TABLE pairs (i BIGINT, a {bignumeric_encoding.TYPE}, b {bignumeric_encoding.TYPE}, m DECIMAL(38,9), f DOUBLE, n BIGINT, s VARCHAR)"
        )
        yield opened


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(tmp_path / "warehouse") as opened:
        opened.ensure_table(TABLE, SCHEMA)
        yield opened
