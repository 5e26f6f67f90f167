"""A tenant's day of gcp_billing beside a bare script of the same SQL and suites: `python -m benchmarks.against_bare`.

`[--rows 10000 --days 7 --json FILE]`. Three ways to one day, in turn, each on a warehouse of its own with the same
export:

- warm: a worker of the shipped launcher, forked from a process that has imported what it needs. Its CPU seconds are
  the whole worker's, from the fork to its end: more than from the run's start to the last publish. The forkserver's own
  start is paid once for a state of the code and is not counted.
- cold: the same worker's command as a process of its own, imports included.
- bare: `bare/gcp_billing.py`, imports included.

The first day warms the machine's file cache and the forkserver and is not counted. Afterwards the three tables of all
days are held against each other row by row, and every check's outcome by name. Last, a warm worker's CPU time is told
apart: Dagster, Great Expectations, SQL (see `shares.py`).
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.table import Table

from benchmarks.figures import figure
from benchmarks.measuring import Cost, machine, measured, stdout_dropped
from benchmarks.project import load_bills, project
from benchmarks.shares import shares_of
from benchmarks.tenant_day import Launching, launching
from convergence_assets.assets.queries import declared_columns, queries_of
from convergence_assets.assets.schema_mapping import (
    expectations,
    table_names,
    table_schema,
    target_table,
    window_parameters,
)
from convergence_assets.assets.structure import SOURCES
from convergence_assets.assets.window import Window
from convergence_assets.dagster_internals.run_launchers import worker_command
from convergence_assets.pipelines.compile import resolve_tables
from convergence_assets.pipelines.rule_tables import RULES
from convergence_assets.quality.expectations import Expectation
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Step, Tenant
from convergence_assets.warehouse.duckdb import functions, numeric
from convergence_assets.warehouse.duckdb.generator import macros
from convergence_assets.warehouse.duckdb.query_preparation import prepared
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.schema import Column, Dataset, Query

FIRST = date(2026, 10, 1)
TENANT, PIPELINE = "acme", "gcp_billing"
TABLES = (
    "gcp_cost_line_items", "gcp_cost_daily", "gcp_commitment_fees", "gcp_commitments", "gcp_charges", "gcp_focus",
)  # fmt: skip
BARE = Path(__file__).parent / "bare" / "gcp_billing.py"
BARE_HAS = {"python_initcap", "python_normalize", "bignumeric_multiply_numeric", "bignumeric_divide_numeric"}
"""Functions of Python that the script has of its own."""
DATASETS = Path("warehouse", "datasets")
Outcomes = dict[str, dict[str, bool]]


@dataclass(frozen=True)
class Ways:
    """The three ways, each with its own warehouse."""

    warm: Launching
    warm_home: Path
    cold: dg.DagsterInstance
    cold_home: Path
    bare_folder: Path


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=10_000)
    arguments.add_argument("--days", type=int, default=7, help="days that count")
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    described = machine(["dagster", "great_expectations", "duckdb", "pandas", "sqlglot"])
    days = [FIRST + timedelta(days=n) for n in range(chosen.days + 1)]
    with stdout_dropped(), ways(days[-1] + timedelta(days=3), chosen.rows) as opened:
        costs = [one_day(opened, day) for day in days][1:]
        compared = same_rows(opened, days)
        told_apart = [shares_of(opened.warm, TENANT, PIPELINE, days[-1] + timedelta(days=n)) for n in (1, 2, 3)]
    medians = {way: statistics.median(cost[way].cpu_seconds for cost in costs) for way in ("warm", "cold", "bare")}
    show(chosen.rows, costs, medians, compared)
    show_shares(told_apart)
    figure(f"a warm tenant-day of {chosen.rows:,} rows", medians["warm"], "CPU-s", 2.5)
    figure("warm / the bare script", medians["warm"] / medians["bare"], "CPU", 0.5)
    figure("cold / the bare script", medians["cold"] / medians["bare"], "CPU", 1.4)
    if chosen.json:
        days_said = [{way: asdict(cost) | {"output": None} for way, cost in of_day.items()} for of_day in costs]
        result = {
            "machine": described,
            "rows": chosen.rows,
            "days": days_said,
            "medians": medians,
            "shares": told_apart,
        }
        chosen.json.write_text(json.dumps(result, indent=1))


@contextmanager
def ways(last: date, rows: int) -> Iterator[Ways]:
    """One export, three warehouses."""
    with project() as settings, tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        load_bills(settings, TENANT, FIRST, last, rows_per_day=rows, seed=7)
        load_tenants(settings)  # a worker runs what a load of all tenants has accepted
        cold, bare = Path(folder, "cold"), Path(folder, "bare")
        shutil.copytree(settings.home, cold, symlinks=True)  # accepted versions are links
        # The shipped storage keeps its files in this process's DAGSTER_HOME unless told otherwise.
        text = (cold / "dagster" / "dagster.yaml").read_text()
        named = text.replace(
            "class: SqliteStorage", f"class: SqliteStorage\n    config: {{base_dir: {cold / 'dagster'}}}"
        )
        (cold / "dagster" / "dagster.yaml").write_text(named)
        write_bare_files(bare, settings, last)
        export = next((settings.home / DATASETS).glob("*_billing_export.duckdb"))
        shutil.copy(export, bare)
        with (
            launching(settings.home) as platform,
            dg.DagsterInstance.from_config(str(cold / "dagster")) as instance,
        ):
            yield Ways(platform, settings.home, instance, cold, bare)


def write_bare_files(folder: Path, settings: Settings, day: date) -> None:
    """What the bare script runs: each step's SELECT and suite as the engine is given them, and its functions."""
    tenant = load_tenants(settings).tenants[TENANT]
    pipeline = next(p for p in tenant.pipelines if p.name == PIPELINE)
    (folder / "sql").mkdir(parents=True)
    (folder / "suites").mkdir()
    for step in pipeline.steps:
        window = Window.local(day, day, tenant.timezone)
        (query,) = queries_of(tenant, step, window)
        sql = _of_duckdb(tenant, step, query)
        repeated = [c.name for c in step.spec.columns if c.mode == "REPEATED"]
        filled = ", ".join(f"coalesce({name}, []) AS {name}" for name in repeated)  # BigQuery has no NULL array
        sql = f"SELECT * REPLACE ({filled}) FROM ({sql})" if filled else sql
        (folder / "sql" / f"{step.table}.sql").write_text(sql)
        (folder / "suites" / f"{step.table}.json").write_text(json.dumps(_suite(tenant, step, window)))
    every = (*python_functions(), *numeric.MACROS, *functions.MACROS, *macros.MACROS)
    (folder / "sql" / "functions.sql").write_text("; ".join(f"CREATE TEMP MACRO {macro}" for macro in every))


def _suite(tenant: Tenant, step: Step, window: Window) -> dict[str, Any]:
    """The suite with its queries in DuckDB's SQL, and its rules as one query with a column a check."""
    judged, rules = [], []
    for expectation in expectations(step.suite):
        if expectation.type == RULES:
            rules.append(expectation)
            continue
        arguments = dict(expectation.kwargs)
        if sql := arguments.get("unexpected_rows_query"):
            arguments["unexpected_rows_query"] = _of_batch(tenant, step, window, sql)
        meta = {"name": expectation.name}
        judged.append({"type": expectation.type, "kwargs": arguments, "severity": expectation.severity, "meta": meta})
    sql = _of_batch(tenant, step, window, _counting(step, rules)) if rules else None
    severities = {group.name: group.severity for group in rules}
    return {"expectations": judged, "rules": {"sql": sql, "severities": severities}}


def _counting(step: Step, groups: Sequence[Expectation]) -> str:
    """How many rows break a rule of each group; what compares rows is worked out before."""
    compared: list[str] = []
    counts = []
    for group in groups:
        conditions = []
        for rule in group.kwargs["rules"]:
            violated = rule["violated"].replace("{day}", f"`{step.spec.partition_column}`")
            if " OVER (" in violated:
                compared.append(f"{violated} AS compared_{len(compared)}")
                violated = f"compared_{len(compared) - 1}"
            conditions.append(f"({violated})")
        counts.append(f"COUNTIF({' OR '.join(conditions)}) AS `{group.name}`")
    source = f"(SELECT *, {', '.join(compared)} FROM {{batch}})" if compared else "{batch}"
    return f"SELECT {', '.join(counts)} FROM {source}"


def _of_batch(tenant: Tenant, step: Step, window: Window, sql: str) -> str:
    """A query of the suite in DuckDB's SQL, over the bare script's `staged`."""
    batch = replace(target_table(tenant, step.table), table="staged")
    named = resolve_tables(sql.replace("{batch}", batch.quoted), table_names(tenant, step))
    query = Query(named, window_parameters(tenant, step, window.days, window.start, window.end))
    columns = {str(batch): {column.name: column for column in table_schema(step.spec).columns}}
    return _of_duckdb(tenant, step, query, columns).replace(
        f"{quoted(str(Dataset.of(batch)))}.{quoted('staged')}", "staged"
    )


def _of_duckdb(
    tenant: Tenant, step: Step, query: Query, columns: Mapping[str, Mapping[str, Column]] | None = None
) -> str:
    """With the parameters of the pipeline's file written out; `columns` are those of more tables."""
    sql, _ = prepared(query, {**declared_columns(tenant, step), **(columns or {})})
    for name, value in step.parameters.items():
        sql = sql.replace(f"${name}", literal(str(value)))
    return sql


def python_functions() -> list[str]:
    """Those of Python, which the macros name and no step here calls, as macros that fail."""
    import duckdb

    sql = (
        "SELECT DISTINCT function_name, len(parameters), coalesce(return_type, 'VARCHAR') FROM duckdb_functions()"
        " WHERE (function_name LIKE 'bignumeric_%' OR function_name LIKE 'python_%') AND function_type != 'table'"
    )
    with duckdb.connect() as connection:
        numeric.install_functions(connection)
        found = connection.execute(sql).fetchall()
    # Of a parameter: without one the error would be raised for rows that never call it. Cast: without a type it would
    # be taken for NULL.
    failing = "CAST(error('no function of Python here: {} ' || CAST(p0 AS VARCHAR)) AS {})"
    return [
        f"{name}({', '.join(f'p{n}' for n in range(count))}) AS {failing.format(name, kind)}"
        for name, count, kind in found
        if name not in BARE_HAS
    ]


def bare_day(rows: int) -> Cost:
    """A day of so many rows by the bare script alone, with the file cache warm: what this machine needs for it."""
    with project() as settings, tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        days = [FIRST, FIRST + timedelta(days=1)]
        load_bills(settings, TENANT, *days, rows_per_day=rows, seed=7)
        write_bare_files(Path(folder), settings, days[-1])
        shutil.copy(next((settings.home / DATASETS).glob("*_billing_export.duckdb")), folder)
        return [measured([sys.executable, BARE, folder, TENANT, str(day)], os.environ) for day in days][-1]


def one_day(opened: Ways, day: date) -> dict[str, Cost]:
    """A day by each way; every check has to say the same."""
    used = opened.warm.run(TENANT, PIPELINE, day)
    costs = {"warm": Cost(used.cpu_seconds, used.seconds, used.peak_bytes)}
    costs["cold"] = cold_day(opened, day)
    costs["bare"] = measured([sys.executable, BARE, opened.bare_folder, TENANT, str(day)], os.environ)
    payload: Outcomes = json.loads(costs["bare"].output.splitlines()[-1])
    for instance in (opened.warm.instance, opened.cold):
        ours = outcomes(instance)
        assert ours == payload, f"the checks of {day} differ: {differing(ours, payload)}"
    return costs


def cold_day(opened: Ways, day: date) -> Cost:
    """The worker's command without a forkserver."""
    home = opened.cold_home
    env = os.environ | {"CONVERGENCE_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    run = opened.warm.make(TENANT, PIPELINE, day, day, opened.cold)
    command = [sys.executable, "-m", *worker_command(opened.cold, run)]
    cost = measured(command, env | {"CONVERGENCE_ONLY_TENANTS": TENANT})
    finished = opened.cold.get_run_by_id(run.run_id)
    assert finished is not None
    assert finished.is_success, f"the cold run of {day} failed"
    return cost


def outcomes(instance: dg.DagsterInstance) -> Outcomes:
    """Every check of the instance's newest run: table, name, passed."""
    run = instance.get_runs(limit=1)[0]
    found: Outcomes = {}
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        assert entry.dagster_event is not None
        evaluation = entry.dagster_event.asset_check_evaluation_data
        if evaluation.check_name != SOURCES.name:  # the bare script does not look at the export's columns
            found.setdefault(evaluation.asset_key.path[-1], {})[evaluation.check_name] = evaluation.passed
    return found


def differing(ours: Outcomes, bare: Outcomes) -> list[str]:
    """The checks of either that the other has not, or has with another outcome."""
    one, other = ({(t, c, p) for t, checks in results.items() for c, p in checks.items()} for results in (ours, bare))
    return [f"{table}.{check}" for table, check, _ in sorted(one ^ other)]


def same_rows(opened: Ways, days: list[date]) -> int:
    """How many rows were compared; raises where a published table of one way holds other rows than another's."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        folders = {"warm": opened.warm_home / DATASETS, "cold": opened.cold_home / DATASETS, "bare": opened.bare_folder}
        for way, folder in folders.items():
            connection.execute(f"ATTACH '{folder / TENANT}.duckdb' AS {way} (READ_ONLY)")
        compared = 0
        for table in TABLES:
            day = "x_UsageDate" if table == "gcp_focus" else "usage_date"
            found = connection.execute(f"SELECT count(DISTINCT {day}), count(*) FROM bare.{table}").fetchone()
            assert found is not None
            assert found[0] == len(days), f"{table} has {found[0]} of {len(days)} days"
            compared += found[1]
            described = connection.execute(f"SELECT column_name FROM (DESCRIBE bare.{table})").fetchall()
            names = ", ".join(quoted(name) for (name,) in described)  # a table has them as declared, not as selected
            for way in ("warm", "cold"):
                for one, other in ((way, "bare"), ("bare", way)):
                    sql = (
                        f"SELECT count(*) FROM (SELECT {names} FROM {one}.{table}"
                        f" EXCEPT ALL SELECT {names} FROM {other}.{table})"
                    )
                    more = connection.execute(sql).fetchone()
                    assert more == (0,), f"{table}: {more} rows of {one} are not in {other}"
        return compared


def show(rows: int, costs: list[dict[str, Cost]], medians: dict[str, float], compared: int) -> None:
    table = Table("", "CPU-s", "of the bare script", "seconds", "peak MB", title=f"a tenant-day of {rows:,} rows")
    for way, cpu in medians.items():
        seconds = statistics.median(cost[way].seconds for cost in costs)
        peak = max(cost[way].peak_bytes for cost in costs) / 1e6
        table.add_row(way, f"{cpu:.2f}", f"{cpu / medians['bare']:.2f}", f"{seconds:.2f}", f"{peak:.0f}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    count = sum(len(checks) for checks in json.loads(costs[0]["bare"].output.splitlines()[-1]).values())
    console.print(
        f"medians of {len(costs)} days; {compared:,} published rows equal; {count} checks a day, outcomes equal"
    )


def show_shares(told_apart: list[dict[str, float]]) -> None:
    table = Table("of a warm worker", "CPU-s", "share")
    total = statistics.median(sum(one.values()) for one in told_apart)
    for what in told_apart[0]:
        cpu = statistics.median(one[what] for one in told_apart)
        table.add_row(what, f"{cpu:.2f}", f"{cpu / total:.0%}")
    table.add_row("total", f"{total:.2f}", "")
    Console(soft_wrap=True, highlight=False).print(table)


if __name__ == "__main__":
    main()
