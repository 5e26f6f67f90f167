"""What the demo's bills come to in FOCUS: commitments, credits, and cost by category of service."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query, TableRef

_COMMITMENTS = """
    SELECT
        CommitmentDiscountId AS commitment,
        MIN(CommitmentDiscountCategory) AS kind,
        SUM(IF(ChargeCategory = 'Purchase', BilledCost, 0)) AS paid,
        SUM(IF(CommitmentDiscountStatus = 'Used', EffectiveCost, 0)) AS used,
        SUM(IF(CommitmentDiscountStatus = 'Unused', EffectiveCost, 0)) AS unused,
        SUM(IF(CommitmentDiscountStatus = 'Used', ContractedCost, 0)) AS cost_without_it,
        MIN(BillingCurrency) AS currency
    FROM {table} WHERE x_UsageDate >= @first AND CommitmentDiscountId IS NOT NULL
    GROUP BY CommitmentDiscountId ORDER BY paid DESC
"""
_CREDITS = """
    SELECT x_CreditType AS type, COUNT(*) AS charges, SUM(BilledCost) AS amount, MIN(BillingCurrency) AS currency
    FROM {table} WHERE x_UsageDate >= @first AND ChargeCategory = 'Credit'
    GROUP BY x_CreditType ORDER BY amount
"""
_CATEGORIES = """
    SELECT
        ServiceCategory AS category,
        SUM(ListCost) AS list_cost,
        SUM(BilledCost) AS billed_cost,
        SUM(EffectiveCost) AS effective_cost,
        MIN(BillingCurrency) AS currency
    FROM {table} WHERE x_UsageDate >= @first
    GROUP BY ServiceCategory ORDER BY effective_cost DESC
"""
_TOPICS = {"commitments": _COMMITMENTS, "credits": _CREDITS, "service_categories": _CATEGORIES}
_SHOWN = {"credits": "Credits applied afterwards", "service_categories": "Cost by service category"}

Rows = Sequence[dict[str, Any]]


def focus_costs(settings: Settings, tenant: Tenant, first: date) -> dict[str, Rows]:
    """By topic the rows of the tenant's published days since `first`; amounts are in the account's currency."""
    table = TableRef(tenant.dataset, "gcp_focus", tenant.project).quoted
    with open_warehouse(settings) as warehouse:
        return {
            topic: warehouse.read(Query(sql.format(table=table), {"first": first}), Job(f"demo-{topic}")).to_pylist()
            for topic, sql in _TOPICS.items()
        }


def as_json(costs: dict[str, Rows]) -> dict[str, list[dict[str, Any]]]:
    """The same with amounts as texts of all their decimals."""
    return {
        topic: [{k: f"{v:f}" if isinstance(v, Decimal) else v for k, v in row.items()} for row in rows]
        for topic, rows in costs.items()
    }


def print_costs(console: Console, by_tenant: dict[str, dict[str, Rows]]) -> None:
    """One table a topic, over all tenants."""
    console.print()
    table = Table(title="Commitments: what was paid, and what became of it", title_justify="left")
    _columns(table, ("tenant", "commitment", "kind"), ("paid", "used", "unused", "utilization", "saved"))
    for tenant, costs in by_tenant.items():
        for row in costs["commitments"]:
            paid, currency = row["paid"], row["currency"]
            share = f"{100 * row['used'] / paid:.0f} %" if paid else "-"
            saved = row["cost_without_it"] - paid if paid else Decimal(0)
            amounts = [f"{row[name]:,.2f}" for name in ("paid", "used", "unused")]
            table.add_row(tenant, row["commitment"], row["kind"], *amounts, share, f"{saved:,.2f} {currency}")
        table.add_section()
    print_table(table, console)
    names = {
        "credits": (("type",), ("charges", "amount")),
        "service_categories": (("category",), ("list_cost", "billed_cost", "effective_cost")),
    }
    for topic, (texts, numbers) in names.items():
        console.print()
        table = Table(title=_SHOWN[topic], title_justify="left")
        _columns(table, ("tenant", *texts), tuple(name.replace("_", " ") for name in numbers))
        for tenant, costs in by_tenant.items():
            for row in costs[topic]:
                shown = [f"{v:,.2f}" if isinstance(v := row[name], Decimal) else f"{v:,}" for name in numbers]
                table.add_row(
                    tenant, *(row[name] or "-" for name in texts), *shown[:-1], f"{shown[-1]} {row['currency']}"
                )
            table.add_section()
        print_table(table, console)
    console.print()


def _columns(table: Table, texts: Sequence[str], numbers: Sequence[str]) -> None:
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
