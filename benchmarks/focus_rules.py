"""FOCUS's rules beside the suite that a table-day had without them: `python -m benchmarks.focus_rules [--rows 1000]`.

CPU seconds of this process, the least of several turns, once everything is imported and every statement is known. The
suite is that of `gcp_focus`; its rules are judged on the same rows in the same turn.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import figure
from convergence_assets.assets.schema_mapping import (
    expectations,
    source_schema,
    table_names,
    table_schema,
    target_table,
    window_parameters,
)
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.local_days import day_end
from convergence_assets.pipelines.compile import resolve_tables
from convergence_assets.quality.expectations import Expectation
from convergence_assets.quality.pushdown import Batch
from convergence_assets.quality.rules import RULES
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.interface import Job, SourceFile, Warehouse
from convergence_assets.warehouse.schema import Query, TableRef

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

DAY = date(2026, 10, 3)
TURNS = 7
TENANTS = Path(__file__).parents[1] / "tenants"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1000)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_env(os.environ | {"CONVERGENCE_HOME": folder, "CONVERGENCE_WAREHOUSE": "embedded"})
        context = LoadContext(landing=Path(folder, "landing"))
        tenant = load_registry(str(TENANTS), None, today=date(2026, 12, 1), context=context).tenants["acme"]
        with open_warehouse(settings) as warehouse:
            _make_the_day(warehouse, tenant, Path(folder, "bills"), chosen.rows)
            suite, rules = _measured(warehouse, tenant)
    figure(f"the suite of gcp_focus, a day of {chosen.rows:,} rows", suite, "CPU seconds")
    figure(f"FOCUS's rules / the suite, a day of {chosen.rows:,} rows", rules / suite, "CPU", 1.5)


def _make_the_day(warehouse: Warehouse, tenant: Tenant, folder: Path, rows: int) -> None:
    bills = generate_bills(folder, DEMO_TENANTS[0], DAY, DAY + timedelta(days=1), seed=7, rows_per_day=rows)
    pipeline = tenant.pipelines[0]
    source = pipeline.steps[0].sources["billing_export"]
    files = [SourceFile(str(file), "jsonl") for file in bills]
    warehouse.load_files(TableRef.parse(source.tables[0]), source_schema(source.spec), files, Job("load"))
    for step in pipeline.steps:
        assert step.sql is not None
        schema, target, job = table_schema(step.spec), target_table(tenant, step.table), Job(f"make-{step.table}")
        warehouse.ensure_table(target, schema)
        sql = step.sql.resolve(table_names(tenant, step))
        staged = warehouse.stage_query(target, schema, [Query(sql, _values(tenant, step.table))], job)
        warehouse.publish(staged, [DAY], job)


def _values(tenant: Tenant, table: str):  # type: ignore[no-untyped-def]
    step = next(step for step in tenant.pipelines[0].steps if step.table == table)
    start, end = day_end(DAY - timedelta(days=1), tenant.timezone), day_end(DAY, tenant.timezone)
    return window_parameters(tenant, step, (DAY,), start, end)


def _measured(warehouse: Warehouse, tenant: Tenant) -> tuple[float, float]:
    """CPU seconds of the suite, and of the rules."""
    from convergence_assets.quality.validate import validate_in_warehouse
    from convergence_assets.warehouse.frames import empty_frame, frame_from_arrow

    step = next(step for step in tenant.pipelines[0].steps if step.table == "gcp_focus")
    schema, target = table_schema(step.spec), target_table(tenant, step.table)
    values, names = _values(tenant, step.table), table_names(tenant, step)

    def shipped(sql: str) -> "pa.Table":
        return warehouse.read(Query(sql.replace("{batch}", target.quoted)), Job("read"))

    def run_query(sql: str) -> "pa.Table":
        return warehouse.read(Query(resolve_tables(sql.replace("{batch}", target.quoted), names), values), Job("read"))

    def read_frame(expected: frozenset[str]) -> "pd.DataFrame":
        return typed(shipped(f"SELECT {', '.join(f'`{name}`' for name in sorted(expected))} FROM {{batch}}"))

    def typed(table: "pa.Table") -> "pd.DataFrame":
        return frame_from_arrow(table, schema.only(table.column_names))

    kinds = {column.name: column.type for column in schema.columns}
    batch = Batch(run_query, typed, empty_frame(schema.columns), kinds, shipped)

    def seconds(checks: Sequence[Expectation]) -> float:
        began = time.process_time()
        validate_in_warehouse(
            batch, read_frame, checks, partition_column=step.spec.partition_column, partitions=[DAY.isoformat()],
            columns=kinds, only_if_exact=True,
        )  # fmt: skip
        return time.process_time() - began

    checks = expectations(step.suite)
    suite = [check for check in checks if check.type != RULES]
    rules = [check for check in checks if check.type == RULES]
    turns = [(seconds(suite), seconds(rules)) for _ in range(TURNS)]
    return min(turn[0] for turn in turns), min(turn[1] for turn in turns)


if __name__ == "__main__":
    main()
