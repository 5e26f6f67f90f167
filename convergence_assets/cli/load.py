"""`convergence load`: bring files into a source table that a tenant's pipeline reads."""

import glob
import json
import uuid
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from convergence_assets.assets.opening import open_warehouse
from convergence_assets.assets.translation import source_schema
from convergence_assets.cli.choosing import pipeline_of, tenant_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import GIGABYTE, FileFormat, Job, SourceFile
from convergence_assets.warehouse.schema import TableRef

_FORMATS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


def load(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="The pipeline that declares the source")],
    source: Annotated[str, typer.Argument(help="The source's name, e.g. billing_export")],
    files: Annotated[list[str], typer.Argument(help="CSV, JSON Lines or Parquet files, or patterns")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Load files into a source table, replacing the days that they hold (loading a file twice changes nothing).

    Example: convergence load acme gcp_billing billing_export exports/2026-10-*.jsonl
    """
    settings = Settings.from_env()
    chosen = tenant_of(load_tenants(settings), tenant)
    reading = pipeline_of(chosen, pipeline)
    sources = {s.name: s for step in reading.steps for s in step.sources.values()}
    if source not in sources:
        raise typer.BadParameter(
            f"pipeline {pipeline} reads {', '.join(sorted(sources)) or 'no source'}, not {source!r}"
        )
    paths = [path for pattern in files for path in (sorted(glob.glob(pattern)) or [pattern])]
    for path in paths:
        if not Path(path).is_file():
            raise NotFound(f"file {path} does not exist")
        if Path(path).suffix not in _FORMATS:
            raise typer.BadParameter(f"{path}: the ending tells the format; expected one of {', '.join(_FORMATS)}")
    table = TableRef.parse(sources[source].table)
    with open_warehouse(settings) as warehouse:
        schema = source_schema(sources[source].spec)
        run_id = f"load-{uuid.uuid4().hex[:12]}"
        labels = {"tenant": tenant, "pipeline": pipeline, "asset": source, "run_id": run_id}
        job = Job(run_id, labels, maximum_bytes_billed=reading.maximum_gigabytes_billed * GIGABYTE)
        rows = 0
        for kind in sorted({_FORMATS[Path(p).suffix] for p in paths}):
            of_kind = [SourceFile(p) for p in paths if _FORMATS[Path(p).suffix] == kind]
            rows += warehouse.load_files(table, schema, of_kind, kind, job)
    if as_json:
        typer.echo(json.dumps({"table": str(table), "files": len(paths), "rows": rows}))
    else:
        Console().print(f"{rows} rows from {len(paths)} files into {table}")
