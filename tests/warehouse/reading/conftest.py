"""Files read into a staging table of the embedded warehouse, as both warehouses read them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.interface import FileFormat, FileRules, Job, SourceFile, Staged
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema

Read = Callable[..., tuple[list[dict[str, Any]], Staged]]
JOB = Job("run")


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    with DuckDBWarehouse(tmp_path_factory.mktemp("reading")) as opened:
        yield opened


@pytest.fixture
def read(warehouse: DuckDBWarehouse, tmp_path: Path) -> Read:
    def rows(
        columns: Sequence[Column],
        content: bytes | str | None,
        file_format: FileFormat = "csv",
        rules: FileRules | None = None,
        name: str | None = None,
        delimiter: str | None = None,
    ) -> tuple[list[dict[str, Any]], Staged]:
        file = tmp_path / (name or f"x.{file_format}")
        if content is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        source = SourceFile(str(file), file_format, name=file.name, delimiter=delimiter)
        table = TableRef("acme", "read")
        staged = warehouse.stage_files(table, TableSchema(tuple(columns)), [source], JOB, rules or FileRules())
        found: list[dict[str, Any]] = warehouse.read_staged(staged, [c.name for c in columns], JOB).to_pylist()
        return found, staged

    return rows
