"""Tests of a step: its SELECT run on the embedded engine over given rows, and the result compared with what is
expected."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convergence_assets.assets.schema_mapping import table_schema, window_parameters, written
from convergence_assets.assets.window import Window
from convergence_assets.pipelines.compiled_sql import CompiledSql, Names
from convergence_assets.pipelines.models import StepTest
from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.tenant import PlacedTest, Step, Tenant
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.interface import FileRules, Job, SourceFile, Warehouse
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema

SHOWN = 3
"""How many missing or unexpected rows a problem names."""
_GIVEN, _ACTUAL, _EXPECTED = "given", "made", "expected"


def failing_tests(tenant: Tenant, step: Step) -> Iterator[Problem]:
    """A problem for each of a step's tests that fails, at the test's line."""
    if step.sql is None:
        return
    for test in step.tests:
        message = _failure_of(tenant, step, step.sql, test)
        if message:
            yield replace(test.declared, message=f"test {test.spec.name} of tenant {tenant.tenant_id}: {message}")


def _failure_of(tenant: Tenant, step: Step, sql: CompiledSql, test: PlacedTest) -> str | None:
    from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse

    with tempfile.TemporaryDirectory(prefix="convergence-test-") as folder:
        try:
            with DuckDBWarehouse(Path(folder, "warehouse")) as warehouse:
                actual, expected = _rows(warehouse, Path(folder), tenant, step, sql, test.spec)
        except WarehouseError as error:
            return f"{error.error_class}: {error}"
    missing, more = expected - actual, actual - expected
    parts = [("missing", missing), ("not expected", more)]
    return "; ".join(f"{words}: {_shown(rows)}" for words, rows in parts if rows) or None


def _rows(
    warehouse: Warehouse, folder: Path, tenant: Tenant, step: Step, sql: CompiledSql, test: StepTest
) -> tuple[Counter[str], Counter[str]]:
    """What the SELECT makes of the given rows and what is expected, as bags of rows in the compared columns."""
    job = Job(f"test-{test.name}")
    text = written(tenant, step, sql)
    for name in sql.tables:
        columns = (*text.columns[name], *text.pseudo_columns.get(name, ()))
        _load(warehouse, folder, TableRef(_GIVEN, name), columns, test.given.get(name, ()), job)
    relations = {name: TableRef(_GIVEN, name).quoted for name in sql.tables}
    window = Window.local(test.partition, test.partition, tenant.timezone)
    values = window_parameters(tenant, step, window.days, window.start, window.end)
    query = Query(
        sql.resolve(Names(relations)),
        {name: value for name, value in values.items() if name in sql.parameters},
        replace(text, relations=relations, renamed={}),
    )
    schema = table_schema(step.spec)
    compared = [c for c in schema.columns if any(c.name in row for row in test.expect)] or list(schema.columns)
    staged = warehouse.stage_query(TableRef(_ACTUAL, step.table), schema, [query], job)
    actual = warehouse.read_staged(staged, [c.name for c in compared], job).to_pylist()
    expected = TableRef(_EXPECTED, step.table)
    _load(warehouse, folder, expected, compared, test.expect, job)
    listed = ", ".join(f"`{c.name}`" for c in compared)
    expected_rows = warehouse.read(Query(f"SELECT {listed} FROM {expected.quoted}"), job).to_pylist()
    return Counter(map(_row, actual)), Counter(map(_row, expected_rows))


def _load(
    warehouse: Warehouse, folder: Path, table: TableRef, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]],
    job: Job,
) -> None:  # fmt: skip
    schema = TableSchema(tuple(map(_nullable, columns)))
    warehouse.ensure_table(table, schema)
    if not rows:
        return
    file = folder / f"{table.dataset}.{table.table}.jsonl"
    file.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    names = frozenset(name.lower() for c in schema.columns for name in (c.name, *c.field_names()))
    warehouse.load_files(table, schema, [SourceFile(str(file), "jsonl")], job, FileRules(optional=names))


def _nullable(column: Column) -> Column:
    mode = "NULLABLE" if column.mode == "REQUIRED" else column.mode
    return replace(column, mode=mode, fields=tuple(map(_nullable, column.fields)))


def _row(row: Mapping[str, Any]) -> str:
    return json.dumps(
        {name: value for name, value in row.items() if value is not None}, default=str, ensure_ascii=False
    )


def _shown(rows: Counter[str]) -> str:
    first = sorted(rows.elements())
    more = f" and {len(first) - SHOWN} more" if len(first) > SHOWN else ""
    return ", ".join(first[:SHOWN]) + more
