"""`convergence shares`: which part of each shared source is whose, and whether it adds up."""

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.datetimes import day_of
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from convergence_assets.assets.share_counts import ShareCounts


def shares(
    first: Annotated[str | None, typer.Option("--from", help="First day of the export's partitions")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; default: yesterday")] = None,
    maximum_gigabytes_billed: Annotated[int, typer.Option(help="Refused on BigQuery if it reads more", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a shared source")] = False,
) -> None:
    """Count rows and cost of every shared source by tenant, and of the rows that no tenant owns; by default of the last
    seven days.

    Exit code 1 if the tenants' rows and the rest do not add up to the total.

    Example: convergence shares --from 2026-10-01 --to 2026-10-31
    """
    from convergence_assets.assets.share_counts import count_shares, read_sources

    settings = Settings.from_env()
    end = day_of(last, "--to") if last else datetime.now(UTC).date() - timedelta(days=1)
    begin = day_of(first, "--from") if first else end - timedelta(days=6)
    registry = load_tenants(settings)
    counts: list[ShareCounts] = []
    with open_warehouse(settings) as warehouse:
        for shared, reader in read_sources(registry):
            counts.append(count_shares(warehouse, shared, reader.spec, begin, end, maximum_gigabytes_billed))
    for count in counts:
        if as_json:
            typer.echo(json.dumps(_as_json(count)))
        else:
            _print_counts(count)
    if not counts:
        typer.echo("no served tenant reads a shared source", err=True)
    raise typer.Exit(0 if all(count.adds_up for count in counts) else 1)


def _as_json(counts: "ShareCounts") -> dict[str, Any]:
    parts = {
        owner: {"rows": p.rows, "cost": None if p.cost is None else str(p.cost)} for owner, p in counts.parts.items()
    }
    cost = None if counts.whole.cost is None else str(counts.whole.cost)
    return {
        "table": counts.table, "first": str(counts.first), "last": str(counts.last),
        "rows": counts.whole.rows, "cost": cost,
        "parts": parts, "adds_up": counts.adds_up,
    }  # fmt: skip


def _print_counts(counts: "ShareCounts") -> None:
    table = Table("whose", title=f"{counts.table}, {counts.first} to {counts.last}", title_justify="left")
    for name in ("rows", "cost"):
        table.add_column(name, justify="right")
    for owner, part in [*counts.parts.items(), ("all", counts.whole)]:
        name = "the rest" if owner == "_rest" else owner
        table.add_row(name, f"{part.rows:,}", "" if part.cost is None else f"{part.cost:,f}")
    print_table(table)
    if not counts.adds_up:
        typer.echo(
            f"the parts of {counts.table} are not the whole: a tenant is billed too much or too little", err=True
        )
