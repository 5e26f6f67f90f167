"""A stuck run on the local BigQuery server: its process is gone, its job runs on, and the remediation ends it."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.remediations import Part
from convergence_assets.control.workers import Workers
from convergence_assets.monitoring.remediation import Remediation
from convergence_assets.monitoring.stuck import Activity, Stuck
from convergence_assets.process import this_process
from tests.dagster_homes import dagster_at, run_of
from tests.monitoring.test_remediation import LINES, TOTALS
from tests.monitoring.watched import Watched
from tests.peer.peer_server import Peer

BIGQUERY = Path(__file__).parents[1] / "warehouse" / "bigquery"
NUMBERS = "SELECT i FROM UNNEST(GENERATE_DATE_ARRAY(DATE '1900-01-01', DATE '2100-01-01')) AS i"
ENDLESS = (
    f"SELECT DATE '2026-03-01' AS day, COUNT(*) AS n FROM ({NUMBERS}) AS a CROSS JOIN ({NUMBERS}) AS b "
    f"CROSS JOIN ({NUMBERS}) AS c"
)
DAY = date(2026, 3, 1)


@pytest.mark.peer
@pytest.mark.slow
def test_the_jobs_of_a_dead_run_are_found_by_their_label_and_cancelled(peer: Peer, tmp_path: Path) -> None:
    watched = Watched.at(tmp_path / "home")
    settings = peer.settings(tmp_path / "home")
    (tmp_path / "dagster").mkdir()
    with dagster_at(tmp_path / "dagster") as instance, open_warehouse(settings) as warehouse:

        def nothing() -> None: ...

        keys = frozenset([LINES, TOTALS])
        job = dg.Definitions(assets=[dg.asset(key=k)(nothing) for k in keys]).resolve_implicit_global_asset_job_def()
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=keys)
        worker = subprocess.Popen(
            [sys.executable, str(BIGQUERY / "staging_process.py"), ENDLESS, run.run_id],
            env=os.environ | peer.variables | {"CONVERGENCE_HOME": str(tmp_path / "home")},
        )
        deadline = time.monotonic() + 60
        while not warehouse.running_jobs():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        worker.kill()
        worker.wait()
        (running,) = warehouse.running_jobs()
        assert running.labels["run_id"] == run.run_id
        Workers(watched.store).record(run.run_id, replace(this_process(), started="1"))
        part = Part("acme", "demo_costs", DAY, DAY)
        found = Stuck(
            Activity(run.run_id, "STARTED", (part,), watched.now, watched.now, gone=True), "dead", watched.now, None
        )
        remediation = Remediation(instance, watched.store, settings, watched.tenants)
        report = remediation.run(remediation.begin(found, request_again=0))
        assert "1 warehouse jobs cancelled" in report[0]
        while warehouse.running_jobs():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert run_of(instance, run.run_id).status == dg.DagsterRunStatus.FAILURE
