"""`convergence query`: any table, in BigQuery SQL, on whichever warehouse is active."""

import csv
import json
import re
import sys
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import GIGABYTE, Job
from convergence_assets.warehouse.schema import Query

if TYPE_CHECKING:
    import pyarrow as pa

_TIMEOUT_SECONDS = 600.0
_ON_A_TERMINAL = 100


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT in BigQuery SQL; tables as dataset.table")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a row")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header")] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="Rows shown as a table; default: 100 on a terminal, all in a pipe", min=1),
    ] = None,
    maximum_gigabytes_billed: Annotated[int, typer.Option(help="Refused on BigQuery if it reads more", min=1)] = 10,
    rows_of: Annotated[
        list[str] | None,
        typer.Option("--rows", help="NAME=ARRAY: rows that the query reads as table NAME; may be given several times"),
    ] = None,
) -> None:
    """Read any table, read-only; with --rows "bills=[STRUCT('a' AS sku, NUMERIC '1.5' AS cost)]" also rows that are
    written out, as table bills.

    Example: convergence query "SELECT usage_date, SUM(net_cost) AS net FROM acme.gcp_cost_daily GROUP BY 1 ORDER BY 1"
    """
    sql = _with_rows(sql, rows_of or [])
    settings = Settings.from_env()
    run_id = f"query-{uuid.uuid4().hex[:12]}"
    job = Job(run_id, {"asset": "query", "run_id": run_id}, _TIMEOUT_SECONDS, maximum_gigabytes_billed * GIGABYTE)
    with open_warehouse(settings) as warehouse:
        rows = warehouse.read(Query(sql), job)
    if as_json:
        for row in rows.to_pylist():
            sys.stdout.write(json.dumps(row, default=_text) + "\n")
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows.column_names)
        writer.writerows([_text(v) for v in row.values()] for row in rows.to_pylist())
    else:
        _print_rows(rows, limit, f"{settings.warehouse} warehouse ({settings.warehouse_reason})")


def _with_rows(sql: str, texts: list[str]) -> str:
    """The query over tables that are written out, one row an element of a BigQuery array."""
    tables = []
    for text in texts:
        name, _, array = text.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()) or not array.strip():
            raise typer.BadParameter(
                f"{text!r} is no NAME=ARRAY; expected --rows \"bills=[STRUCT('a' AS sku, NUMERIC '1.5' AS cost)]\""
            )
        tables.append(f"`{name.strip()}` AS (SELECT * FROM UNNEST({array}) AS `{name.strip()}`)")
    from convergence_assets.temporary_functions import parted

    functions, select = parted(sql)
    return f"{functions}WITH {', '.join(tables)}\n({select}\n)" if tables else sql


def _print_rows(rows: "pa.Table", limit: int | None, where: str) -> None:
    table = Table()
    for field in rows.schema:
        table.add_column(field.name, justify="right" if _is_number(str(field.type)) else "left")
    shown = limit or (_ON_A_TERMINAL if sys.stdout.isatty() else rows.num_rows)
    for row in rows.slice(0, shown).to_pylist():
        table.add_row(*(Text("NULL", "dim") if v is None else Text(_text(v)) for v in row.values()))
    print_table(table)
    # A pipe gets the rows and nothing else.
    Console(stderr=not sys.stdout.isatty(), soft_wrap=True, highlight=False).print(
        f"{rows.num_rows} row{'' if rows.num_rows == 1 else 's'}, {where}", style="dim"
    )
    if rows.num_rows > shown:
        typer.echo(f"the first {shown} of {rows.num_rows} rows; --limit, --json or --csv show more", err=True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"  # str would say 0E-9
    return json.dumps(value, default=_text) if isinstance(value, list | dict) else str(value)


def _is_number(kind: str) -> bool:
    return kind.startswith(("int", "decimal", "double", "float"))
