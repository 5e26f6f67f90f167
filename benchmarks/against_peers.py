"""Three tenants by seven days of gcp_billing beside the same models and checks in dbt and SQLMesh, all on DuckDB.

`python -m benchmarks.against_peers [--rows 2000 --repetitions 3 --json FILE]`, after
`python benchmarks/peers/environment.py`. The peers' projects, and what is equal and what is not, are told in
`peers/README.md`. Each repetition runs every form once, in turn, on a fresh copy of the same exports:

- `7 days`: Convergence launches one run a tenant over the range, all three at once; a peer is invoked once.
- `a day`: Convergence launches one run a tenant and day, the three tenants of a day at once; a peer is invoked once a
  day for all tenants.
- `a tenant's day`: the peers once more, invoked once for each tenant and day, as Convergence's runs are.
- `7 days, cold`: `convergence backfill`, one command a tenant, nothing warm.

Everything is deployed before the clock starts: Convergence's forkserver is up and has run another day, dbt has its
parsed project, SQLMesh its plan and empty tables. CPU seconds: of Convergence the workers from fork to end, this
process while it makes, launches and awaits the runs, and the forkserver while it forks; of a peer its process. Not
counted, since the peers have none: daemon, webserver, ledger and alerts.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import dagster as dg
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.figures import figure
from benchmarks.measuring import Cost, machine, measured, stdout_dropped
from benchmarks.peers.environment import FOLDER, command_of
from benchmarks.project import load_bills, project
from benchmarks.tenant_day import Launching, launching
from convergence_assets.assets.check_events import is_of_a_day
from convergence_assets.run_launcher import forkserver_client

FIRST = date(2026, 10, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(7)]
WARMED = DAYS[-1] + timedelta(days=1)
TENANTS = ("acme", "globex", "initech")
PIPELINE = "gcp_billing"
CHECKS_A_TENANT = 49
OWN_CHECKS = 1
"""The source's columns are looked at in ours alone."""
MONEY = {"gcp_cost_line_items": "net_cost", "gcp_cost_daily": "net_cost", "gcp_focus": "BilledCost"}
DATASETS = Path("warehouse", "datasets")
PEERS = Path(__file__).parent / "peers"
_FORKSERVER = str(forkserver_client.FORKSERVER)
Totals = dict[tuple[str, str, date], tuple[Decimal, int]]
Form = Callable[[Path], tuple[Cost, int, Totals]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=2000, help="a tenant and day")
    arguments.add_argument("--repetitions", type=int, default=3)
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    described = machine(["dagster", "great_expectations", "duckdb", "pandas", "sqlglot"])
    described["peers"] = {peer: peers_versions(peer) for peer in ("dbt", "sqlmesh")}
    costs: dict[str, list[Cost]] = {}
    with stdout_dropped(), tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        exports = Path(folder, "exports")
        make_exports(exports, chosen.rows)
        expected: Totals = {}
        for _ in range(chosen.repetitions):
            for name, form in FORMS.items():
                cost, checks, totals = form(exports)
                times = 1 if "7 days" in name else len(DAYS)
                of_a_day = CHECKS_A_TENANT + (OWN_CHECKS if name.startswith("convergence") else 0)
                rows_due = of_a_day * len(TENANTS) * times
                assert checks == rows_due, f"{name}: {checks} checks passed of {rows_due}"
                expected = expected or totals
                assert totals == expected, f"{name} published other totals"
                costs.setdefault(name, []).append(cost)
                parts = cost.output if name.startswith("convergence") and "cold" not in name else ""
                print(f"{name}: {cost.cpu_seconds:.1f} CPU-s{parts}, {cost.seconds:.1f} s", file=sys.stderr)
    show(chosen.rows, costs, len(expected))
    if chosen.json:
        figures_alone = {name: [asdict(cost) | {"output": None} for cost in some] for name, some in costs.items()}
        result = {"machine": described, "rows": chosen.rows, "costs": figures_alone}
        chosen.json.write_text(json.dumps(result, indent=1))


def make_exports(folder: Path, rows: int) -> None:
    """The three exports, through the day that warms a deployment up."""
    with project() as settings:
        for tenant in TENANTS:
            load_bills(settings, tenant, FIRST, WARMED, rows_per_day=rows, seed=7)
        shutil.copytree(settings.home / DATASETS, folder, ignore=shutil.ignore_patterns("*.lock"))


@contextmanager
def deployed(exports: Path) -> Iterator[tuple[Launching, Path]]:
    """A fresh deployment that has run one day of each tenant."""
    with project() as settings:
        shutil.copytree(exports, settings.home / DATASETS)
        with launching(settings.home) as platform:
            for tenant in TENANTS:
                platform.run(tenant, PIPELINE, WARMED)
            yield platform, settings.home


def launched(platform: Launching, spans: Sequence[Sequence[date]]) -> tuple[Cost, int]:
    """Runs over each span in turn, those of all tenants at once; what they cost and how many checks passed."""
    forkserver = max(
        (p for p in psutil.Process().children() if _FORKSERVER in p.cmdline()), key=lambda p: p.create_time()
    )
    before, ended, run_ids = _cpu(forkserver), len(platform.ended()), []
    began, client = time.monotonic(), time.process_time()
    for span in spans:
        for tenant in TENANTS:
            run = platform.make(tenant, PIPELINE, span[0], span[-1])
            platform.launch(run)
            run_ids.append(run.run_id)
        read = -1
        while (size := platform.log.stat().st_size) == read or len(platform.ended()) < ended + len(run_ids):
            read = size
            time.sleep(0.005)
    seconds, client = time.monotonic() - began, time.process_time() - client
    workers = platform.ended()[ended:]
    parts = {"workers": sum(w["cpu_seconds"] for w in workers), "client": client, "fork": _cpu(forkserver) - before}
    passed = [checks_passed(platform.instance, run_id) for run_id in run_ids]
    parts_shown = ", ".join(f"{part} {cpu:.1f}" for part, cpu in parts.items())
    return Cost(sum(parts.values()), seconds, max(w["peak_bytes"] for w in workers), f" ({parts_shown})"), sum(passed)


def checks_passed(instance: dg.DagsterInstance, run_id: str) -> int:
    found = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [e.dagster_event.asset_check_evaluation_data for e in found if e.dagster_event]
    return sum(e.passed for e in evaluations if not is_of_a_day(e.metadata))


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def convergence(spans: Sequence[Sequence[date]]) -> Form:
    def form(exports: Path) -> tuple[Cost, int, Totals]:
        with deployed(exports) as (platform, home):
            cost, checks = launched(platform, spans)
            return cost, checks, totals({t: (home / DATASETS / f"{t}.duckdb", "main") for t in TENANTS})

    return form


def cold_backfill(exports: Path) -> tuple[Cost, int, Totals]:
    """One command a tenant, one after the other, in a home that has nothing but the exports."""
    with project() as settings:
        shutil.copytree(exports, settings.home / DATASETS)
        command = Path(sys.executable).parent / "convergence"
        cost = Cost(0, 0, 0)
        for tenant in TENANTS:
            words = ["backfill", tenant, PIPELINE, "--from", str(DAYS[0]), "--to", str(DAYS[-1]), "--json"]
            cost += measured([command, *words], os.environ)
        with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as instance:
            checks = sum(checks_passed(instance, run.run_id) for run in instance.get_runs())
        return cost, checks, totals({t: (settings.home / DATASETS / f"{t}.duckdb", "main") for t in TENANTS})


def peer(name: str, spans: Sequence[Sequence[date]], selections: Sequence[str | None] = (None,)) -> Form:
    """A peer invoked once for each span and selection, in a folder of its own, after its deployment."""
    deploy, command, count = {
        "dbt": (dbt_deploy, dbt_command, dbt_checks),
        "sqlmesh": (sqlmesh_deploy, sqlmesh_command, sqlmesh_checks),
    }[name]

    def form(exports: Path) -> tuple[Cost, int, Totals]:
        with tempfile.TemporaryDirectory(prefix="convergence-bench-") as chosen:
            folder, executable = Path(chosen), command_of(name)
            for export in exports.glob("*_billing_export.duckdb"):
                shutil.copy(export, folder)
            env = os.environ | {
                "PEERS_FOLDER": chosen,
                "DBT_TARGET_PATH": f"{chosen}/target",
                "DBT_LOG_PATH": f"{chosen}/logs",
                "DO_NOT_TRACK": "1",
                "SQLMESH__CACHE_DIR": f"{chosen}/cache",
                "MAX_FORK_WORKERS": "1",
            }
            env.pop("PYTHONPATH", None)
            measured([executable, *deploy(folder)], env, PEERS / name)
            cost = Cost(0, 0, 0)
            for span in spans:
                for selection in selections:
                    words = command(folder, span[0], span[-1], selection)
                    cost += measured([executable, *words], env, PEERS / name)
            published = {tenant: (folder / f"{name}.duckdb", tenant) for tenant in TENANTS}
            return cost, count(cost.output), totals(published)

    return form


def dbt_deploy(folder: Path) -> list[str]:
    return ["parse", "--profiles-dir", "."]


def dbt_command(folder: Path, first: date, last: date, tenant: str | None) -> list[str]:
    window = ["--event-time-start", str(first), "--event-time-end", str(last + timedelta(days=1))]
    fast = ["--profiles-dir", ".", "--log-level-file", "none", "--no-write-json"]
    return ["build", *fast, *window, *(["--select", f"models/{tenant}"] if tenant else [])]


def dbt_checks(output: str) -> int:
    return len(re.findall(r"\d+ of \d+ PASS ", output))


def sqlmesh_deploy(folder: Path) -> list[str]:
    return ["--log-file-dir", f"{folder}/logs", "plan", "--auto-apply", "--no-prompts", "--skip-backfill"]


def sqlmesh_command(folder: Path, first: date, last: date, tenant: str | None) -> list[str]:
    window = ["--ignore-cron", "--start", str(first), "--end", str(last)]
    chosen = ["--select-model", f"{tenant}.*"] if tenant else []
    return ["--log-file-dir", f"{folder}/logs", "run", *window, *chosen]


def sqlmesh_checks(output: str) -> int:
    return sum(map(int, re.findall(r"audits\s+passed\s+(\d+)", output)))


def totals(published: dict[str, tuple[Path, str]]) -> Totals:
    """The money and rows of each tenant, table and day, exactly."""
    import duckdb

    found: Totals = {}
    for tenant, (file, schema) in published.items():
        with duckdb.connect() as connection:
            # The name that SQLMesh's views know the file by.
            connection.execute(f"ATTACH '{file}' AS published (READ_ONLY)")
            for table, money in MONEY.items():
                # The peers' models have one column of the day in all tables.
                day = "x_UsageDate" if (table, schema) == ("gcp_focus", "main") else "usage_date"
                sql = f"SELECT {day}, SUM({money}), COUNT(*) FROM published.{schema}.{table} GROUP BY 1"
                for day, amount, rows in connection.execute(sql).fetchall():
                    if day in DAYS:
                        found[tenant, table, day] = (amount, rows)
    assert len(found) == len(TENANTS) * len(MONEY) * len(DAYS)
    return found


def peers_versions(name: str) -> dict[str, str]:
    lines = (FOLDER.parent / f"requirements-{name}.txt").read_text().splitlines()
    return {
        p: v
        for p, _, v in (line.partition("==") for line in lines)
        if p in ("dbt-core", "dbt-duckdb", "sqlmesh", "duckdb")
    }


WEEK, EACH_DAY = [DAYS], [[day] for day in DAYS]
FORMS: dict[str, Form] = {
    "convergence, 7 days": convergence(WEEK),
    "dbt, 7 days": peer("dbt", WEEK),
    "sqlmesh, 7 days": peer("sqlmesh", WEEK),
    "convergence, a day": convergence(EACH_DAY),
    "dbt, a day": peer("dbt", EACH_DAY),
    "sqlmesh, a day": peer("sqlmesh", EACH_DAY),
    "dbt, a tenant's day": peer("dbt", EACH_DAY, TENANTS),
    "sqlmesh, a tenant's day": peer("sqlmesh", EACH_DAY, TENANTS),
    "convergence, 7 days, cold": cold_backfill,
}
OURS = {"7 days": "convergence, 7 days", "a day": "convergence, a day", "a tenant's day": "convergence, a day"}


def show(rows: int, costs: dict[str, list[Cost]], compared: int) -> None:
    table = Table("one run or invocation for", "seconds", "CPU-s", "peak MB", "seconds / ours", "CPU / ours")
    table.title = f"{len(TENANTS)} tenants, {len(DAYS)} days of {rows:,} rows"

    def median(name: str, what: str) -> float:
        return float(statistics.median(getattr(cost, what) for cost in costs[name]))

    for name, some in costs.items():
        ours = OURS.get(name.partition(", ")[2], "convergence, 7 days")
        ratios = [f"{median(name, what) / median(ours, what):.2f}" for what in ("seconds", "cpu_seconds")]
        peak = max(cost.peak_bytes for cost in some) / 1e6
        table.add_row(
            name, f"{median(name, 'seconds'):.1f}", f"{median(name, 'cpu_seconds'):.1f}", f"{peak:.0f}", *ratios
        )
    console = Console(width=max(120, Console().width), highlight=False)
    console.print(table)
    times = len(next(iter(costs.values())))
    console.print(
        f"medians of {times}; {compared} totals of a tenant's table and day equal in all, to the ninth decimal"
    )
    for peer, once, daily in (("dbt", 1.0, 0.5), ("sqlmesh", 1.0, 1 / 1.5)):
        for span, at_most in (("7 days", once), ("a day", daily)):
            ratio = median(f"convergence, {span}", "seconds") / median(f"{peer}, {span}", "seconds")
            figure(f"convergence / {peer}, one invocation for {span}", ratio, "seconds", at_most)
    console.print("peak: of the largest process; Convergence runs three workers at once, which share what was imported")


if __name__ == "__main__":
    main()
