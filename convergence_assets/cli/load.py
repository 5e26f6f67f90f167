"""`convergence load`: bring files into a source table that a tenant's pipeline reads."""

import glob
import json
import os
import uuid
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from convergence_assets.assets.schema_mapping import file_rules, source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.lookup import pipeline_of, tenant_of
from convergence_assets.pipelines.parameters import TABLE
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Source
from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import GIGABYTE, FileFormat, Job, SourceFile
from convergence_assets.warehouse.schema import TableRef

_FORMATS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


def load(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="The pipeline that declares the source")],
    source: Annotated[str, typer.Argument(help="The source's name, e.g. billing_export")],
    files: Annotated[list[str], typer.Argument(help="CSV, JSON Lines or Parquet files, or patterns; also .gz, .zst")],
    delimiter: Annotated[
        str | None, typer.Option(help="What separates the fields of CSV files: one character, or tab")
    ] = None,
    into: Annotated[
        str | None, typer.Option("--table", help="Which of the source's tables, where it is read from several")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Load files into a source table, replacing the days that they hold (loading a file twice changes nothing).

    Example: convergence load acme gcp_billing billing_export exports/2026-10-*.jsonl
    """
    settings = Settings.from_env()
    chosen = tenant_of(load_tenants(settings), tenant)
    chosen_pipeline = pipeline_of(chosen, pipeline)
    sources = {s.name: s for step in chosen_pipeline.steps for s in step.sources.values()}
    if source not in sources:
        raise typer.BadParameter(
            f"pipeline {pipeline} reads {', '.join(sorted(sources)) or 'no source'}, not {source!r}"
        )
    if delimiter == "tab":
        delimiter = "\t"
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise typer.BadParameter(f"--delimiter {delimiter!r}: expected one character, no quote or line end, or tab")
    paths = {os.path.realpath(p): p for pattern in files for p in (sorted(glob.glob(pattern)) or [pattern])}
    chosen_files = [SourceFile(path, _format(path), delimiter=delimiter) for path in paths.values()]
    table = TableRef.parse(_table(sources[source], into))
    with open_warehouse(settings, service_account=chosen.service_account) as warehouse:
        schema = source_schema(sources[source].spec)
        run_id = f"load-{uuid.uuid4().hex[:12]}"
        labels = {"tenant": tenant, "pipeline": pipeline, "asset": source, "run_id": run_id}
        job = Job(run_id, labels, maximum_bytes_billed=chosen_pipeline.maximum_gigabytes_billed * GIGABYTE)
        loaded = warehouse.load_files(table, schema, chosen_files, job, file_rules(sources[source].spec.columns))
    if as_json:
        typer.echo(
            json.dumps(
                {"table": str(table), "files": len(chosen_files), "rows": loaded.rows, "notes": list(loaded.notes)}
            )
        )
        return
    Console().print(f"{loaded.rows} rows from {len(chosen_files)} files into {table}")
    for note in loaded.notes:
        Console(stderr=True).print(note, highlight=False, markup=False, soft_wrap=True)


def _table(source: Source, chosen: str | None) -> str:
    prefix = TableRef.parse(source.tables[0]).prefix
    if chosen is None and len(source.tables) == 1 and prefix is None:
        return source.tables[0]
    if prefix is not None and chosen and TABLE.fullmatch(chosen) and chosen.startswith(source.tables[0][:-1]):
        return chosen
    if chosen not in source.tables or prefix is not None:
        hint = f"not {chosen}" if chosen else "so that --table has to say which"
        raise typer.BadParameter(f"source {source.name} is read from {', '.join(source.tables)}, {hint}")
    return chosen


def _format(path: str) -> FileFormat:
    """By the ending; raises NotFound where there is no such file."""
    if not Path(path).exists():
        raise NotFound(f"file {path} does not exist")
    ending = Path(path.lower().removesuffix(".gz").removesuffix(".zst")).suffix
    if ending not in _FORMATS:
        raise typer.BadParameter(
            f"{path}: the ending tells the format; expected one of {', '.join(_FORMATS)}, or those with .gz or .zst"
        )
    return _FORMATS[ending]
