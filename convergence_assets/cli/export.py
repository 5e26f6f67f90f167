"""`convergence export`: published tables as files for others."""

import json
import re
import uuid
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.lookup import tenant_of
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from convergence_assets.focus_export.exporting import Exported

export = typer.Typer(no_args_is_help=True, help="Published tables as files.")


@export.callback()
def _group() -> None:
    pass


@export.command()
def focus(
    tenant: Annotated[str, typer.Argument(help="Whose FOCUS tables")],
    month: Annotated[str, typer.Option(help="The month of the tables' days, as 2026-10")],
    out: Annotated[Path, typer.Option(help="The folder for the files; made where it is not there")],
    version: Annotated[str, typer.Option(help="FOCUS version: 1.2 or 1.3")] = "1.2",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a table")] = False,
) -> None:
    """Write the FOCUS tables of a month as CSV and Parquet, each with a manifest of its rows, days and sums.

    The rows are those of the month's published days in the tenant's timezone; a correction of an earlier month is among
    that month's days. Days that are not published are named, in the manifest too.

    Example: convergence export focus acme --month 2026-10 --out exports
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.focus_export.columns import VERSIONS, NotFocus
    from convergence_assets.focus_export.exporting import Export, NothingPublished, days_of, focus_steps
    from convergence_assets.focus_export.writing import FractionOfASecond

    if version not in VERSIONS:
        raise typer.BadParameter(f"--version {version!r}: expected {' or '.join(VERSIONS)}")
    first = _month(month)
    settings = Settings.from_env()
    found = tenant_of(load_tenants(settings), tenant)
    steps = list(focus_steps(found))
    if not steps:
        raise typer.BadParameter(f"no table of tenant {tenant} is under `rules: focus`; docs/FOCUS.md says how one is")
    _make(out)
    store = ControlStore.open(settings)
    written: list[Exported] = []
    run_id = f"export-{uuid.uuid4().hex[:12]}"
    with (
        open_warehouse(settings, found.location, service_account=found.service_account) as warehouse,
        _progress(len(days_of(first)) * len(steps)) as advance,
    ):
        job = Export(found, warehouse, store, version, out, run_id, advance)
        for pipeline, step in steps:
            try:
                written.append(job.write(pipeline, step, first))
            except (NotFocus, NothingPublished, FractionOfASecond) as error:
                typer.echo(f"error: tenant {tenant}, table {step.table}, month {month}: {error}", err=True)
                raise typer.Exit(2) from None
    for exported in written:
        if as_json:
            typer.echo(json.dumps(json.loads(exported.manifest.read_text(encoding="utf-8"))))
        else:
            _print(exported, month)
        if exported.read != exported.declared:
            typer.echo(
                f"{exported.table} is version {exported.read}, and its step declares version {exported.declared}: the "
                f"columns are those of version {exported.read}. Next: `convergence upgrade {tenant} --plan`",
                err=True,
            )


def _month(text: str) -> date:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        raise typer.BadParameter(f"--month {text!r}: expected a month like 2026-10")
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise typer.BadParameter(f"--month {text!r}: expected a month like 2026-10") from None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"--out {folder}: {error.strerror}; expected a folder that can be written") from None


@contextmanager
def _progress(days: int) -> "Iterator[Callable[[date, int], None]]":
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days, {task.fields[rows]:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("export", total=days, rows=0)
        rows = 0

        def advance(day: date, more: int) -> None:
            nonlocal rows
            rows += more
            progress.update(task, advance=1, description=day.isoformat(), rows=rows)

        yield advance


def _print(exported: "Exported", month: str) -> None:
    table = Table("billing period from", "currency", title=f"{exported.table}, {month}: {exported.rows:,} rows")
    table.title_justify = "left"
    names = next(iter(exported.sums.values()), {})
    for name in names:
        table.add_column(name, justify="right")
    for (currency, period), sums in sorted(exported.sums.items()):
        table.add_row(period, currency, *(f"{value:,.2f}" for value in sums.values()))
    print_table(table)
    typer.echo(f"{exported.manifest} names the files")
    if exported.missing:
        typer.echo(f"not published, and so not among the rows: {_spans(exported.missing)}", err=True)


def _spans(days: "Sequence[date]") -> str:
    """Days as ranges: 2026-10-06, 2026-10-11 to 2026-10-31."""
    spans: list[list[date]] = []
    for day in days:
        if spans and (day - spans[-1][-1]).days == 1:
            spans[-1] = [spans[-1][0], day]
        else:
            spans.append([day])
    return ", ".join(" to ".join(day.isoformat() for day in span) for span in spans)
