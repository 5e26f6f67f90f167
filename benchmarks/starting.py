"""From asking for a run to its start, beside few and beside many tenants: `python -m benchmarks.starting [--json]`.

A real `dagster dev` on the shipped dagster.yaml, nothing else in its queue. A run of one tenant's day is requested as
the UI asks, and the next one once it has ended.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.dagster_dev import MODULE, Processes, dagster_dev
from benchmarks.family import Family
from benchmarks.figures import figure
from benchmarks.many_tenants import write_tenants
from benchmarks.project import TENANTS, load_bills, project
from benchmarks.tenant_day import FIRST, ended_workers

SIZES = (10, 1000)
ROWS = 2_000
LAUNCH = """mutation($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($r: ID!) { runOrError(runId: $r) { ... on Run { status startTime } } }"


def measured(tenants: int, runs: int) -> dict[str, float]:
    """One tenant's days, one after the other, in a deployment of so many tenants."""
    with tempfile.TemporaryDirectory(prefix="convergence-bench-") as folder:
        write_tenants(Path(folder), tenants - 1)
        shutil.copytree(TENANTS / "acme", Path(folder) / "acme")
        with project(Path(folder)) as settings:
            load_bills(settings, "acme", FIRST, FIRST + timedelta(days=runs), rows_per_day=ROWS, seed=7)
            with dagster_dev(settings.home, os.environ | {"PYTHONPATH": str(TENANTS.parent)}) as started:
                family = Family([started.pid])
                deadline = time.monotonic() + 180
                while not started.has_loaded():
                    assert time.monotonic() < deadline, (settings.home / "dev.log").read_text()[-3000:]
                    time.sleep(0.5)
                waited = [_run(started, str(FIRST + timedelta(days=n))) for n in range(runs + 1)][1:]
                family.cpu_seconds()
            ended = ended_workers(settings.home / "workers" / "forkserver.log")
            cpu = [worker["cpu_seconds"] for worker in ended][1:]
    return {
        "tenants": tenants,
        "runs": runs,
        "median_seconds": statistics.median(waited),
        "p95_seconds": statistics.quantiles(waited, n=20)[-1],
        "worker_cpu_seconds": statistics.median(cpu),
        "code_server_peak_bytes": family.peak_bytes["code server"],
    }


def _run(started: Processes, day: str) -> float:
    """Seconds from asking to the run's start; returns once it has ended."""
    tables = (
        "gcp_cost_line_items", "gcp_cost_daily", "gcp_commitment_fees", "gcp_commitments", "gcp_charges", "gcp_focus",
    )  # fmt: skip
    requested_at = time.time()
    launched = started.ask(
        LAUNCH,
        p={
            "selector": {
                "repositoryLocationName": MODULE,
                "repositoryName": "__repository__",
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": ["acme", "gcp_billing", table]} for table in tables],
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
        },
    )["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    while True:
        found = started.ask(STATUS, r=launched["run"]["runId"])["runOrError"]
        if found["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            assert found["status"] == "SUCCESS", found
            return float(found["startTime"]) - requested_at
        time.sleep(0.2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=40)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    found = [measured(size, chosen.runs) for size in SIZES]
    if chosen.json:
        print(json.dumps(found))
        return
    table = Table("tenants", "asked to start, median s", "p95 s", "worker CPU-s", "code server's peak, MB")
    for one in found:
        table.add_row(
            f"{one['tenants']:.0f}", f"{one['median_seconds']:.2f}", f"{one['p95_seconds']:.2f}",
            f"{one['worker_cpu_seconds']:.2f}", f"{one['code_server_peak_bytes'] / 1e6:.0f}",
        )  # fmt: skip
    Console().print(table)
    few, many = found
    figure("from asking for a run to its start, p95", few["p95_seconds"], "s", 2)
    figure(f"the same beside {SIZES[-1]} tenants", many["p95_seconds"], "s", 2)
    figure(
        f"a worker's day beside {SIZES[-1]} tenants / beside {SIZES[0]}",
        many["worker_cpu_seconds"] / few["worker_cpu_seconds"], "CPU", 1.2,
    )  # fmt: skip
    figure(f"code server of {SIZES[-1]} tenants, at its peak", many["code_server_peak_bytes"] / 1e6, "MB", 600)


if __name__ == "__main__":
    main()
