"""A year of one tenant's gcp_billing by `convergence backfill`, beside a set-based script of the same SQL and suites.

`python -m benchmarks.backfill [--days 365] [--rows 2000]`: CPU seconds of each process, imports included; their ratio.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import typer

from benchmarks.figures import figure
from benchmarks.project import TENANTS, load_bills, project
from convergence_assets.assets.window import Window
from convergence_assets.settings import Settings

FIRST = date(2025, 10, 1)
TENANT, PIPELINE = "acme", "gcp_billing"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--days", type=int, default=365)
    arguments.add_argument("--rows", type=int, default=2000)
    arguments.add_argument("--script", action="store_true", help="be the script, in this environment")
    arguments.add_argument("--backfill", action="store_true", help="be the backfill, in this environment")
    chosen = arguments.parse_args()
    last = FIRST + timedelta(days=chosen.days - 1)
    if chosen.script:
        script(Settings.from_env(), last)
        return
    if chosen.backfill:
        backfill(last)
        return
    tenants = Path(tempfile.mkdtemp(), "tenants")
    shutil.copytree(TENANTS, tenants)
    file = tenants / TENANT / "tenant.yaml"
    file.write_text(file.read_text().replace("start_date: 2026-10-01", f"start_date: {FIRST}"))
    try:
        with project(tenants) as settings:
            rows = load_bills(settings, TENANT, FIRST, last, rows_per_day=chosen.rows, seed=7)
            print(f"{chosen.days} days, {rows:,} rows of bills")
            ours, theirs = (_measured(f"--{what}", chosen.days) for what in ("backfill", "script"))
    finally:
        shutil.rmtree(tenants.parent)
    for name, found in (("convergence backfill", ours), ("set-based script", theirs)):
        print(f"{name}: {found['cpu']:.1f} CPU-s, {found['wall']:.1f} s wall, peak {found['peak']:.2f} GB")
        print(f"    {found['said']}")
    figure(f"a backfill of {chosen.days} days / a set-based script", ours["cpu"] / theirs["cpu"], "CPU", 3)
    figure("peak of the backfill", ours["peak"], "GB")


def _measured(what: str, days: int) -> dict[str, Any]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "benchmarks.backfill", what, "--days", str(days)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = json.loads(ran.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": time.monotonic() - began, "peak": printed.pop("peak"), "said": json.dumps(printed)}


def backfill(last: date) -> None:
    """`convergence backfill` in this process, with the CPU time of Dagster's event writing taken apart."""
    from convergence_assets.cli.backfill import backfill as command
    from convergence_assets.dagster_internals.sqlite_storage import EventLogStorage

    writing = [0.0]
    store = EventLogStorage.store_event_batch

    def timed(self: EventLogStorage, events: Sequence[dg.EventLogEntry]) -> None:
        began = time.thread_time()
        store(self, events)
        writing[0] += time.thread_time() - began

    EventLogStorage.store_event_batch = timed  # type: ignore[method-assign]
    with suppress(typer.Exit):
        command(TENANT, PIPELINE, first=str(FIRST), last=str(last), as_json=True)
    _say(event_writing_cpu=round(writing[0], 1))


def script(settings: Settings, last: date) -> None:
    """The same statements over the whole range at once, one connection, tables replaced in place; suites as we judge
    them above the row limit, since a frame of a year would need gigabytes."""
    from convergence_assets.assets.schema_mapping import (
        expectations,
        sensitive_columns,
        source_schema,
        table_names,
        table_schema,
        target_table,
        window_parameters,
    )
    from convergence_assets.pipelines.compile import resolve_tables
    from convergence_assets.quality.pushdown import Batch
    from convergence_assets.quality.validate import validate_in_warehouse
    from convergence_assets.tenancy.registry import load_tenants
    from convergence_assets.warehouse.duckdb.engine import Engine
    from convergence_assets.warehouse.duckdb.files import Layout
    from convergence_assets.warehouse.duckdb.query_preparation import prepared
    from convergence_assets.warehouse.duckdb.quoting import quoted
    from convergence_assets.warehouse.duckdb.tables import create
    from convergence_assets.warehouse.frames import empty_frame, frame_from_arrow
    from convergence_assets.warehouse.schema import Dataset, Query, TableRef

    tenant = load_tenants(settings).tenants[TENANT]
    pipeline = next(p for p in tenant.pipelines if p.name == PIPELINE)
    engine, layout = Engine(settings.home / "script-spill"), Layout(settings.warehouse_folder)
    own = Dataset.of(target_table(tenant, pipeline.steps[0].table))
    engine.run(f"ATTACH '{settings.home / 'script.duckdb'}' AS {quoted(str(own))}")
    types, window = {}, Window.local(FIRST, last, tenant.timezone)
    for step in pipeline.steps:
        for source in step.sources.values():
            ref = TableRef.parse(source.tables[0])
            if str(ref) not in types:
                file = layout.dataset_file(Dataset.of(ref))
                engine.run(f"ATTACH '{file}' AS {quoted(str(Dataset.of(ref)))} (READ_ONLY)")
                types[str(ref)] = {c.name: c for c in source_schema(source.spec).columns}

    failed: list[str] = []
    for step in pipeline.steps:
        schema, names = table_schema(step.spec), table_names(tenant, step)
        values = dict(window_parameters(tenant, step, window.days, window.start, window.end))
        name = f"{quoted(str(own))}.{quoted(step.table)}"
        create(engine, name, schema)
        types[str(target_table(tenant, step.table))] = {c.name: c for c in schema.columns}
        assert step.sql is not None
        text, used = prepared(Query(step.sql.resolve(names), values), types)
        columns = ", ".join(quoted(c.name) for c in schema.columns)
        engine.run(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM ({text}) AS made", used)

        def read(sql: str, step=step, names=names, values=values):  # type: ignore[no-untyped-def]
            named = resolve_tables(sql.replace("{batch}", target_table(tenant, step.table).quoted), names)
            return engine.arrow(*prepared(Query(named, values), types))

        def typed(table, schema=schema):  # type: ignore[no-untyped-def]
            return frame_from_arrow(table, schema.only(table.column_names))

        def frame(expected, name=name, schema=schema):  # type: ignore[no-untyped-def]
            chosen = ", ".join(quoted(c) for c in sorted(expected))
            return frame_from_arrow(engine.arrow(f"SELECT {chosen} FROM {name}"), schema.only(expected))

        scalar = {c.name: c.type for c in schema.columns if c.mode != "REPEATED"}
        outcomes = validate_in_warehouse(
            Batch(read, typed, empty_frame(schema.columns), scalar),
            frame,
            expectations(step.suite),
            partition_column=step.spec.partition_column,
            partitions=[day.isoformat() for day in window.days],
            sensitive=sensitive_columns(step.spec),
            columns={c.name: c.type for c in schema.columns},
        )
        failed += [f"{o.name}: {o.error}" for o in outcomes if not o.passed and o.severity == "critical"]
    engine.close()
    _say(failed_critical_checks=failed)


def _say(**fields: object) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"peak": peak} | fields))


if __name__ == "__main__":
    main()
