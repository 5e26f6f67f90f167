"""`convergence changes`: what changed, to compare with an incident."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.datetimes import moment
from convergence_assets.cli.lookup import tenant_of
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.diagnostics.timeline import Happened


def changes(
    since: Annotated[
        str, typer.Option("--from", "--since", help="A date, a moment in UTC, or how long ago: 2h, 3d")
    ] = "1d",
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's, and what concerns all")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a change")] = False,
) -> None:
    """What changed in tenants' files, pipelines' code, tables and packages, and who did what; the oldest first, in UTC.

    A file's or package's change stands at the moment at which a code location or a run first had it, not at that of
    the edit. `convergence diagnose` shows the changes before a run.

    Example: convergence changes --from 3d --tenant acme
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.diagnostics.timeline import happened

    settings = Settings.from_env()
    store = ControlStore.open(settings)
    begin = moment(since, store.now(), "--from")
    if tenant is not None:
        from convergence_assets.tenancy.registry import load_tenants

        tenant_of(load_tenants(settings), tenant)
    with store.read() as connection:
        listed = happened(connection, begin, tenant)
    if as_json:
        for change in listed:
            typer.echo(json.dumps(vars(change) | {"moment": change.moment.isoformat()}))
        return
    if listed:
        print_table(table_of(listed))
    else:
        typer.echo(f"nothing has changed since {begin:%Y-%m-%dT%H:%M:%SZ}")


def table_of(changes_shown: "list[Happened]") -> Table:
    """A row a change."""
    table = Table("when (UTC)", "kind", "tenant", "of", prose("what"), "by")
    for change in changes_shown:
        cells = (
            f"{change.moment:%m-%d %H:%M:%S}",
            change.kind,
            change.tenant_id or "",
            change.subject,
            change.said,
            change.by or "",
        )
        table.add_row(*map(Text, cells))
    return table
