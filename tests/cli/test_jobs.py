"""`convergence jobs`: what runs now, and what the last runs sent."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from convergence_assets.cli.main import app
from convergence_assets.settings import Settings
from tests.assets.project import TENANTS, Project, hourly
from tests.peer.peer_server import Peer

DAY = date(2026, 10, 2)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(TENANTS))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    return tmp_path / "home"


def convergence(*words: str) -> Result:
    result = CliRunner(env={"COLUMNS": "400"}).invoke(app, words)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.peer
def test_the_jobs_of_the_last_runs_are_shown_with_what_they_cost_and_for_whom(
    home: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in peer.variables.items():
        monkeypatch.setenv(name, value)
    project = replace(Project.at(home), settings=Settings.from_env())
    project.load_bills(hourly(DAY, project.tenant.timezone, 1.0))
    assert "have told of no job" in convergence("jobs").stdout
    run_id = json.loads(convergence("run", "acme", "demo_costs", "--partition", str(DAY), "--json").stdout)["run_id"]
    convergence("ledger", "rebuild")
    found = [json.loads(line) for line in convergence("jobs", "--json").stdout.splitlines()]
    assert {job["state"] for job in found} == {"finished"}
    assert {tuple(job["labels"].values()) for job in found} == {
        ("acme", "demo_costs", table, str(DAY), run_id) for table in ("lines", "totals")
    }
    assert all(job["job_id"].startswith("convergence_") for job in found)
    shown = convergence("jobs").stdout
    assert all(job["job_id"] in shown for job in found)
    assert convergence("jobs", "--running").stdout == "no job is running\n"
    assert convergence("jobs", "--running", "--json").stdout == ""


def test_the_embedded_warehouse_has_no_jobs(home: Path) -> None:
    assert convergence("jobs").stdout == "no job is running\n"
    assert convergence("jobs", "--running").stdout == "no job is running\n"
