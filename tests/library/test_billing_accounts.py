"""A tenant with several billing accounts: their exports are read as one source."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copytree

import dagster as dg
import pytest

from convergence_assets.assets.late_data import markers
from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import TableRef
from tests.library.platform_in_a_folder import Platform
from tests.peer.peer_server import Peer

TENANTS = Path(__file__).parents[2] / "tenants"
ACME = next(t for t in DEMO_TENANTS if t.tenant_id == "acme")
GIVEN = "export_table: acme_billing_export.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C\n"
OTHER = "0F0F0F-1E1E1E-2D2D2D"
DAY = date(2026, 10, 12)


def registry_of(folder: Path, tables: str) -> TenantRegistry:
    copytree(TENANTS, folder / "tenants", dirs_exist_ok=True)
    file = folder / "tenants" / "acme" / "tenant.yaml"
    text = (TENANTS / "acme" / "tenant.yaml").read_text()
    assert GIVEN in text
    file.write_text(text.replace(GIVEN, f"export_table: {tables}\n"))
    return load_registry(str(folder / "tenants"), None, today=date(2026, 12, 1))


def bills(folder: Path, seed: int, account: str | None = None) -> list[Path]:
    around = timedelta(days=1)
    files = generate_bills(folder / str(seed), ACME, DAY - around, DAY + around, seed=seed, rows_per_day=60)
    for file in files if account else ():
        rows = (json.loads(line) | {"billing_account_id": account} for line in file.read_text().splitlines())
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def loaded(platform: Platform, bills_of_tables: Sequence[Sequence[Path]]) -> None:
    source = platform.registry.tenants["acme"].pipelines[0].steps[0].sources["billing_export"]
    assert len(source.tables) == len(bills_of_tables)
    with open_warehouse(platform.settings) as warehouse:
        for table, files in zip(source.tables, bills_of_tables, strict=True):
            found = [SourceFile(str(file), "jsonl") for file in files]
            warehouse.load_files(
                TableRef.parse(table), source_schema(source.spec), found, Job(f"load-{table.replace('.', '-')}")
            )


@pytest.fixture(params=["embedded", pytest.param("bigquery", marks=[pytest.mark.peer, pytest.mark.soak])])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "bigquery":
        peer: Peer = request.getfixturevalue("peer")
        return peer.settings(tmp_path / "home")
    return Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})


def test_two_exports_are_one_bill_and_none_of_their_rows_is_lost_or_doubled(tmp_path: Path, settings: Settings) -> None:
    registry = registry_of(tmp_path, "[acme_exports.account_one, acme_exports.account_two]")
    assert not registry.problems, [problem.render() for problem in registry.problems]
    platform = Platform(settings, registry)
    loaded(platform, [bills(tmp_path, 5), bills(tmp_path, 7, OTHER)])
    alone = Platform(settings, registry_of(tmp_path / "alone", "acme_exports.account_two"))

    def published() -> dict[object, dict[str, object]]:
        rows = platform.rows(
            "SELECT billing_account_id AS account, COUNT(*) AS items, SUM(net_cost) AS net FROM acme.gcp_cost_line_items "
            f"WHERE usage_date = DATE '{DAY}' GROUP BY account"
        )
        return {row["account"]: row for row in rows}

    reports = alone.run("acme", [DAY])
    assert all(DAY in report.published for report in reports.values())
    before = published()
    reports = platform.run("acme", [DAY])
    assert all(DAY in report.published for report in reports.values())
    assert not [o for o in reports["gcp_cost_line_items"].outcomes if not o.passed]
    after = published()
    assert before.keys() == {OTHER}
    assert after.keys() == {OTHER, ACME.billing_account_id}
    assert after[OTHER] == before[OTHER]
    [daily] = platform.rows(f"SELECT SUM(net_cost) AS net FROM acme.gcp_cost_daily WHERE usage_date = DATE '{DAY}'")
    assert daily["net"] == sum((Decimal(str(row["net"])) for row in after.values()), Decimal(0))


def test_rows_that_come_late_in_either_of_them_are_noticed(tmp_path: Path) -> None:
    settings = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})
    platform = Platform(settings, registry_of(tmp_path, "[acme_exports.account_one, acme_exports.account_two]"))
    first, second = bills(tmp_path, 5), bills(tmp_path, 7, OTHER)
    loaded(platform, [first, second])
    tenant = platform.registry.tenants["acme"]
    step = tenant.pipelines[0].steps[0]
    window = Window.of(_days(tenant.timezone), [str(DAY)])
    with open_warehouse(settings) as warehouse:
        before = markers(warehouse, tenant, step, window, Job("before"))
    late = [json.loads(line) for line in second[1].read_text().splitlines()]
    second[1].write_text("".join(json.dumps(row | {"export_time": "2026-10-30T00:00:00Z"}) + "\n" for row in late))
    loaded(platform, [first, second])
    with open_warehouse(settings) as warehouse:
        after = markers(warehouse, tenant, step, window, Job("after"))
    assert before.keys() == after.keys() == {DAY}
    assert after[DAY].startswith("2026-10-30")
    assert before[DAY] < after[DAY]


def _days(timezone: str) -> dg.DailyPartitionsDefinition:
    return dg.DailyPartitionsDefinition(start_date="2026-01-01", timezone=timezone)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[acme_exports.one, acme_exports.ONE]", "stands in the list twice"),
        ("[acme_exports.one, 7]", "7 is no table name"),
        ("[]", "the list is empty"),
        ("{a: b}", "is not a table or a list of tables"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_at_its_line(tmp_path: Path, given: str, said: str) -> None:
    (problem,) = registry_of(tmp_path, given).problems
    assert said in problem.message
    assert (problem.key, problem.line) == ("pipelines[0].with.export_table", 11)
    assert problem.expected
    assert problem.expected.startswith("dataset.table or project.dataset.table, or a list of them")
