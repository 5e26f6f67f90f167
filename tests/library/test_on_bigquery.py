"""The billing pipeline on a local BigQuery server: every published row as the embedded warehouse has it."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.assets.schema_mapping import target_table
from convergence_assets.assets.statements import step_advice
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.pipelines.advice import advise
from convergence_assets.tenancy.tenant import Step
from convergence_assets.warehouse.interface import Statement
from tests.library.exported_rows import load
from tests.library.platform_in_a_folder import Platform
from tests.library.test_commitments import random_bills
from tests.library.test_real_bills import stopped_by

pytestmark = [pytest.mark.peer, pytest.mark.slow]

# Three days, one of them of 25 hours in Berlin.
DAYS = (date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26))


def with_six_decimals(files: Sequence[Path]) -> list[Path]:
    """The bills with amounts of six decimals below 8 000, as short as most of Google's: the local server casts FLOAT64
    to NUMERIC by a product in FLOAT64, which is one billionth off for some longer ones (BigQuery's cast is exact)."""
    for file in files:
        rows = [json.loads(line, parse_float=lambda text: round(float(text), 6)) for line in file.open()]
        for row in rows:
            for name in ("amount", "amount_in_pricing_units"):
                row["usage"][name] = round(math.fmod(row["usage"][name] or 0.0, 8_000), 6)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(files)


def run_everything(platform: Platform, bills: Mapping[str, Sequence[Path]]) -> list[Statement]:
    """Three days in one range and one of them again; every job that was sent."""
    statements: list[Statement] = []
    for tenant_id, files in bills.items():
        platform.load_bills(tenant_id, files)
        for span in (DAYS, DAYS[1:2]):
            for table, report in platform.run(tenant_id, span).items():
                failed = [o for o in report.outcomes if not o.passed and o.severity != "info"]
                assert [(table, o.name, o.error, o.examples) for o in failed] == []
                statements += report.statements
    return statements


def published(platform: Platform, tenant_id: str, step: Step) -> list[dict[str, object]]:
    table = target_table(platform.registry.tenants[tenant_id], step.table).quoted
    days = f"{step.spec.partition_column} BETWEEN DATE '2020-01-01' AND DATE '2030-01-01'"
    order = [
        str(n) for n, c in enumerate(step.spec.columns, 1) if c.type not in ("RECORD", "JSON") and c.mode != "REPEATED"
    ]
    return platform.rows(f"SELECT * FROM {table} WHERE {days} ORDER BY {', '.join(order)}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("tenant_ids", [("acme",), pytest.param(("acme", "globex"), marks=pytest.mark.soak)])
def test_three_days_are_the_same_rows_on_both_warehouses(
    platform: Platform, on_bigquery: Platform, tmp_path: Path, tenant_ids: tuple[str, ...]
) -> None:
    bills = {
        t.tenant_id: with_six_decimals(
            generate_bills(tmp_path / "bills", t, DAYS[0], DAYS[-1], seed=5, rows_per_day=300)
        )
        for t in DEMO_TENANTS
        if t.tenant_id in tenant_ids
    }
    assert run_everything(platform, bills) == []
    statements = run_everything(on_bigquery, bills)
    compared = sum(rows_alike(platform, on_bigquery, tenant_id) for tenant_id in bills)
    assert compared > len(tenant_ids) * 3 * 300 * 2
    _no_statement_scans_a_whole_table(on_bigquery, statements)


def test_fees_over_days_and_usage_that_two_commitments_cover_are_the_same_rows_on_both_warehouses(
    platform: Platform, on_bigquery: Platform, tmp_path: Path
) -> None:
    # Longer amounts are cast otherwise by the local server, see `with_six_decimals`.
    bills = random_bills(random.Random(4), list(DAYS), places=(0, 2, 4))
    for each in (platform, on_bigquery):
        load(each, tmp_path, DAYS, bills)
        for table, report in each.run("acme", DAYS).items():
            assert (table, stopped_by(report)) == (table, {})
    assert rows_alike(platform, on_bigquery, "acme") > 500


def rows_alike(platform: Platform, on_bigquery: Platform, tenant_id: str) -> int:
    """How many rows of all tables are the same on both."""
    compared = 0
    for step in platform.registry.tenants[tenant_id].pipelines[0].steps:
        embedded = published(platform, tenant_id, step)
        peer = published(on_bigquery, tenant_id, step)
        assert len(peer) == len(embedded)
        for name in embedded[0]:
            pairs = ((a[name], b[name]) for a, b in zip(peer, embedded, strict=True))
            different = [(a, b) for a, b in pairs if a != b]
            assert not different, (tenant_id, step.table, name, len(different), different[:3])
        assert {row[step.spec.partition_column] for row in embedded} == set(DAYS)
        compared += len(embedded)
    return compared


def _no_statement_scans_a_whole_table(platform: Platform, statements: Sequence[Statement]) -> None:
    partitioned = {
        step.table: step.spec.partition_column
        for tenant in platform.registry.tenants.values()
        for pipeline in tenant.pipelines
        for step in pipeline.steps
    } | {"billing_export": "_PARTITIONTIME"}
    exports = {
        source.tables[0].rsplit(".", 1)[-1]: str(source.spec.partition_column)
        for tenant in platform.registry.tenants.values()
        for step in tenant.pipelines[0].steps
        for source in step.sources.values()
    }
    selects = [s for s in statements if s.kind.startswith(("stage", "read"))]
    assert selects
    for statement in selects:
        assert advise(statement.sql, partitioned | exports, {}) == (), statement.sql
    for tenant in platform.registry.tenants.values():
        assert not any(step_advice(tenant, step) for pipeline in tenant.pipelines for step in pipeline.steps)
