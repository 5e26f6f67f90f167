"""`convergence diagnose`: what is known of a run, in a summary and in a file that can be handed on."""

import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.main import app
from convergence_assets.diagnostics import evidence
from convergence_assets.settings import Settings
from tests.assets.project import TENANTS, Project, hourly

DAY = date(2026, 10, 2)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(TENANTS))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    return Project.at(tmp_path / "home")


def convergence(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(app, words)


def run(project: Project, *, day: date = DAY, cost: float | None) -> str:
    """A run's id; it fails where there are no bills."""
    bills = hourly(DAY, project.tenant.timezone, cost) if cost is not None else hourly(date(2026, 9, 1), "UTC", 1.0)
    project.load_bills(bills)
    result = convergence("run", "acme", "demo_costs", "--partition", str(day), "--json")
    assert result.exit_code == (cost is None), result.output
    return str(json.loads(result.stdout)["run_id"])


def bundle(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as found:
        texts = {name: found.read(name).decode() for name in found.namelist()}
    return {name: json.loads(text) if name.endswith(".json") else text for name, text in texts.items()}


def test_a_failed_run_is_told_with_its_error_checks_and_what_changed_and_packed(
    project: Project, tmp_path: Path
) -> None:
    run_id = run(project, cost=None)
    assert convergence("ledger", "rebuild").exit_code == 0
    shown = convergence("diagnose", run_id[:10])
    assert shown.exit_code == 0, shown.output
    for line in (
        f"run {run_id}: FAILURE",
        "tenant acme, pipeline demo_costs, partition 2026-10-02: failed",
        "error no_data: ",
        "  next: Nothing while the source is on its way",
        "check lines: ",
        "schema table acme.lines: made",
        f"files in diagnose-{run_id[:8]}.zip",
    ):
        assert line in shown.stdout, shown.stdout
    assert "not asked" not in shown.stdout
    found = bundle(tmp_path / f"diagnose-{run_id[:8]}.zip")
    assert found["run.json"]["parts"][0]["error_class"] == "no_data"
    assert {row["passed"] for row in found["checks.json"]} >= {False}
    assert {row["event"] for row in found["ledger_rows.json"] if "event" in row} >= {"step_started", "step_failed"}
    assert found["worker.json"]["run_id"] == run_id
    assert [r["outcome"] for r in found["requests.json"]] == ["failed"]
    assert found["locks.json"] == []
    assert found["config.json"]["acme"]["version_of_the_run"] == project.tenant.config_version[:16]
    assert "FROM `acme_export.bills`" in found["sql/acme.demo_costs.lines.sql"]
    assert "-- @partition_start = 2026-10-01 22:00:00+00:00" in found["sql/acme.demo_costs.lines.sql"]
    assert found["summary.txt"].splitlines() == shown.stdout.splitlines()[:-1]


def test_secrets_stay_out_of_the_bundle_and_the_summary(project: Project, tmp_path: Path) -> None:
    run_id = run(project, cost=None)
    with open_instance(Settings.from_env()) as instance:
        instance.add_run_tags(run_id, {"note": "postgresql://me:hunter2-hunter2@db/x", "api_key": "k-123456789"})
    result = convergence("diagnose", run_id, "--output", "here.zip", "--json")
    assert json.loads(result.stdout)["bundle"] == str(tmp_path / "here.zip")
    texts = json.dumps(bundle(tmp_path / "here.zip")) + result.stdout
    assert "db/x" in texts
    assert "hunter2-hunter2" not in texts
    assert "k-123456789" not in texts


def test_a_run_is_diagnosed_before_any_daemon_has_read_it_and_with_the_warehouse_away(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_id = run(project, cost=2.0)
    monkeypatch.setenv("GCP_PROJECT_ID", "some-project")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setattr(evidence, "_WAREHOUSE_SECONDS", 1.0)
    printed = json.loads(convergence("diagnose", run_id, "--json").stdout)
    assert (printed["status"], printed["error"], printed["failed_checks"]) == ("SUCCESS", None, [])
    assert printed["parts"][0]["rows_published"] == 25
    assert "unavailable" in printed["not_asked"]["jobs running on the warehouse"].lower()
    assert "jobs_running_now.json" not in printed["files"]
    assert bundle(Path(printed["bundle"]))["publications.json"]


def test_a_run_that_is_not_there_or_a_file_that_cannot_be_written_is_answered_in_a_line(project: Project) -> None:
    none = convergence("diagnose", "abc")
    assert (none.exit_code, "there is no run 'abc'; there is no run yet" in none.output) == (2, True), none.output
    run_id = run(project, cost=1.0)
    refused = convergence("diagnose", run_id, "--output", "nowhere/x.zip")
    assert (refused.exit_code, "--output names another file" in refused.output) == (2, True), refused.output
