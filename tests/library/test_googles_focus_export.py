"""Google's own FOCUS export as a source, and its daily sums held against ours."""

import json
import shutil
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import TableRef
from tests.library.platform_in_a_folder import Platform
from tests.library.test_real_bills import DAY, ROW, load
from tests.peer.peer_server import Peer

ROOT = Path(__file__).parents[2]
TENANT = """\
tenant_id: acme
display_name: Acme
timezone: Europe/Berlin
owners: [anna@acme.example]
pipelines:
  - {template: gcp_billing, start_date: 2026-10-01, with: {export_table: acme_export.gcp_billing_export_resource_v1_0A}}
  - {template: gcp_focus_export, start_date: 2026-10-01, with: {export_table: acme_focus.gcp_billing_export_focus_0A}}
  - {template: gcp_focus_comparison, start_date: 2026-10-01}
"""


def googles(row: dict[str, Any]) -> dict[str, Any]:
    """The row as Google's FOCUS export has it: BilledCost is cost plus credits."""
    billed = Decimal(str(row["cost"])) + sum((Decimal(str(c["amount"])) for c in row["credits"]), Decimal())
    return {
        "BillingAccountId": row["billing_account_id"], "BillingCurrency": row["currency"], "ChargeCategory": "Usage",
        "ChargePeriodStart": row["usage_start_time"], "ChargePeriodEnd": row["usage_end_time"],
        "BilledCost": str(billed), "EffectiveCost": str(billed), "ServiceName": row["service"]["description"],
        "SubAccountId": row["project"]["id"], "x_ExportTime": row["export_time"],
        "x_Credits": [
            {"Name": c["name"], "Amount": c["amount"], "FullName": c["full_name"], "Id": c["id"], "Type": c["type"]}
            for c in row["credits"]
        ],
        "x_Labels": [{"Key": label["key"], "Value": label["value"]} for label in row["labels"]],
    }  # fmt: skip


def platform_of(settings: Settings, folder: Path) -> Platform:
    tenant = folder / "tenants" / "acme"
    tenant.mkdir(parents=True)
    (tenant / "tenant.yaml").write_text(TENANT)
    shutil.copy(ROOT / "tenants" / "_defaults.yaml", tenant.parent)
    found = load_registry(str(tenant.parent), None, today=date(2026, 12, 1), context=LoadContext(landing=folder))
    assert not found.problems, "\n".join(p.render() for p in found.problems)
    return Platform(settings, found)


def load_googles(platform: Platform, folder: Path, rows: list[dict[str, Any]]) -> None:
    (pipeline,) = (p for p in platform.registry.tenants["acme"].pipelines if p.name == "gcp_focus_export")
    source = pipeline.steps[0].sources["focus_export"]
    absent: dict[str, object] = {
        column.name: [] if column.mode == "REPEATED" else None for column in source.spec.columns
    }
    file = folder / "focus.jsonl"
    file.write_text("".join(json.dumps(absent | row) + "\n" for row in rows))
    with open_warehouse(platform.settings) as warehouse:
        table = TableRef.parse(source.tables[0])
        warehouse.load_files(
            table, source_schema(source.spec), [SourceFile(str(file), "jsonl")], Job(f"focus-{id(rows)}")
        )


def bills() -> list[dict[str, Any]]:
    """The rows that `load` adds to those it is given, and one of another project."""
    start = datetime(2026, 10, 11, 22)
    hours = [
        ROW
        | {
            "usage_start_time": f"{start + timedelta(hours=n):%Y-%m-%dT%H:%M:%SZ}",
            "usage_end_time": f"{start + timedelta(hours=n + 1):%Y-%m-%dT%H:%M:%SZ}",
            "export_time": "2026-10-13T03:00:00Z",
        }
        for n in range(24)
    ]
    return [*hours, OTHER]


OTHER = ROW | {"project": ROW["project"] | {"id": "lab"}, "cost": 0.123456789, "credits": []}


def compared(platform: Platform, folder: Path, googles_rows: list[dict[str, Any]]) -> tuple[list[object], list[Any]]:
    """The rows of the comparison, and the checks of it that failed with their severity."""
    load(platform, folder, [OTHER])
    load_googles(platform, folder, googles_rows)
    for pipeline in ("gcp_billing", "gcp_focus_export"):
        for table, report in platform.run("acme", [DAY], pipeline=pipeline).items():
            assert report.published, (table, [o for o in report.outcomes if not o.passed])
    report = platform.run("acme", [DAY], pipeline="gcp_focus_comparison")["gcp_focus_comparison"]
    columns = "SubAccountId, billed_cost, google_billed_cost, difference"
    of_day = f"FROM acme.gcp_focus_comparison WHERE usage_date = DATE '{DAY}' ORDER BY SubAccountId"
    rows = platform.rows(f"SELECT {columns} {of_day}")
    return [tuple(row.values()) for row in rows], [(o.name, o.severity) for o in report.outcomes if not o.passed]


def test_the_sums_of_both_tables_agree(tmp_path: Path) -> None:
    settings = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})
    rows, failed = compared(platform_of(settings, tmp_path), tmp_path, [googles(row) for row in bills()])
    exact = Decimal("0.123456789")
    assert rows == [("lab", exact, exact, 0), ("shop", 96, 96, 0)]
    assert failed == []


def test_a_row_that_one_export_lacks_is_shown_with_its_project(tmp_path: Path) -> None:
    settings = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})
    rows, failed = compared(platform_of(settings, tmp_path), tmp_path, [googles(row) for row in bills()[1:]])
    assert rows[1] == ("shop", 96, 92, 4)
    assert failed == [("daily_sums_are_googles", "warning")]


@pytest.mark.peer
def test_the_sums_of_both_tables_agree_on_bigquery(tmp_path: Path, peer: Peer) -> None:
    platform = platform_of(peer.settings(tmp_path / "home"), tmp_path)
    rows, failed = compared(platform, tmp_path, [googles(row) for row in bills()])
    assert (rows[1], failed) == (("shop", 96, 96, 0), [])
