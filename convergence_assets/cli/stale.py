"""`convergence preview --stale`: the published days that an older definition made, by table."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import typer
from rich.table import Table

from convergence_assets.cli.backfill_stale import chosen_tenants
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.control.store import ControlStore
from convergence_assets.preview.stale import StaleDay, stale_days
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

_MEANINGS = {
    "text": "text alone: the same rows",
    "unknown": "not known: published before definitions were kept, or restored",
}


def print_stale(names: Sequence[str] | None, *, as_json: bool) -> None:
    """A row for each table and what differs; as JSON with all of its days."""
    settings = replace(Settings.from_env(), only_tenants=None)
    store = ControlStore.open(settings)
    tenants = chosen_tenants(load_tenants(settings), names)
    groups = [
        (name, list(days))
        for tenant in tenants
        for name, days in groupby(sorted(stale_days(store, tenant), key=_group), key=_group)
    ]
    if as_json:
        for (tenant_id, pipeline, table_name, differs), days in groups:
            listed = [str(one.day) for one in days]
            fields = {"tenant": tenant_id, "pipeline": pipeline, "table": table_name, "differs": list(differs)}
            typer.echo(json.dumps(fields | {"days": listed, "rows": sum(one.rows for one in days)}))
        return
    if not groups:
        typer.echo("no published day is older than its definition")
        return
    table = Table("tenant", "pipeline", "table", prose("differs"), "first", "last")
    for name in ("days", "rows"):
        table.add_column(name, justify="right")
    for (*names_of_table, differs), days in groups:
        why = ", ".join(_MEANINGS.get(part, part) for part in differs)
        counts = (f"{len(days):,}", f"{sum(one.rows for one in days):,}")
        table.add_row(*names_of_table, why, str(days[0].day), str(days[-1].day), *counts)
    print_table(table)
    if not all(day.is_text_alone for _, days in groups for day in days):
        typer.echo("Next: `convergence backfill --stale --plan` says what making them again would take")


def _group(one: StaleDay) -> tuple[str, str, str, tuple[str, ...]]:
    return one.tenant_id, one.pipeline, one.table, one.differs
