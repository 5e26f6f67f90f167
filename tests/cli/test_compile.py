"""`convergence compile`: the SQL that it shows is the SQL that runs."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from convergence_assets.cli.main import app
from convergence_assets.warehouse.duckdb.engine import Engine
from tests.assets.project import TENANTS, Project, hourly

DAY = date(2026, 10, 2)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(TENANTS))
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    return Project.at(tmp_path / "home")


def compiled(*words: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["compile", "acme", "demo_costs", "--json", *words])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_is_shown_is_what_the_embedded_engine_then_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = compiled("--partition", str(DAY))
    ran: list[tuple[str, Any]] = []
    run = Engine.run

    def recording(self: Engine, sql: str, parameters: Any = None, **options: Any) -> Any:
        ran.append((sql, parameters))
        return run(self, sql, parameters, **options)

    project.load_bills(hourly(DAY, project.tenant.timezone, 1.5))
    monkeypatch.setattr(Engine, "run", recording)
    project.run(DAY)
    assert [step["table"] for step in shown] == ["lines", "totals"]
    for step in shown:
        inserts = [(sql, bound) for sql, bound in ran if f"FROM ({step['sql']})" in sql and sql.startswith("INSERT")]
        assert len(inserts) == 1, step["table"]
        assert json.loads(json.dumps(inserts[0][1], default=str)) == step["parameters"][0]


def test_bigquery_is_given_the_authors_text_with_full_names_and_typed_parameters(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCP_PROJECT_ID", "some-project")
    result = CliRunner().invoke(app, ["compile", "acme", "demo_costs", "--partition", str(DAY), "--table", "totals"])
    assert result.exit_code == 0, result.output
    step = next(s for s in project.tenant.pipelines[0].steps if s.table == "totals")
    assert step.sql is not None
    assert step.sql.text.rstrip().replace("FROM lines", "FROM `acme.lines`") in result.stdout
    assert "for the bigquery warehouse" in result.stdout
    assert all(f"-- @{name} = " in result.stdout for name in step.sql.parameters)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("acme", "demo_cost"), "did you mean 'demo_costs'?"),
        (("acme", "demo_costs", "--table", "total"), "did you mean 'totals'?"),
        (("acme", "demo_costs", "--partition", "2026-13-01"), "expected a date like"),
        (("acme", "demo_costs", "--from", "2026-10-02"), "--from and --to"),
    ],
)
def test_a_mistake_is_answered_in_a_line(project: Project, words: tuple[str, ...], message: str) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["compile", *words])
    assert (result.exit_code, message in result.output) == (2, True), result.output
