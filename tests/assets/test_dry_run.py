"""`convergence validate --dry-run`: what only the warehouse can tell of a query."""

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convergence_assets.cli.main import app
from tests.peer.peer_server import Peer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(copy))
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    return copy


@pytest.fixture(params=["embedded", pytest.param("bigquery", marks=pytest.mark.peer)])
def warehouse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "embedded":
        monkeypatch.setenv("CONVERGENCE_WAREHOUSE", "embedded")
    else:
        peer: Peer = request.getfixturevalue("peer")
        for name, value in peer.variables.items():
            monkeypatch.setenv(name, value)
    return str(request.param)


def run(*options: str) -> tuple[int, dict[str, list[dict[str, object]]]]:
    result = CliRunner().invoke(app, ["validate", "--dry-run", "--json", *options])
    return result.exit_code, json.loads(result.stdout)


def test_every_query_is_checked_before_any_table_exists(tenants: Path, warehouse: str) -> None:
    code, output = run()
    assert (code, output["problems"]) == (0, [])
    assert {e["table"] for e in output["estimates"]} >= {
        "gcp_cost_line_items",
        "gcp_cost_daily",
        "gcp_focus",
        "total_cost_daily",
    }


def test_a_type_that_is_wrong_is_a_problem_with_its_file_in_bigquerys_words(tenants: Path, warehouse: str) -> None:
    sql = tenants / "initech" / "pipelines" / "total_cost" / "total_cost_daily.sql"
    text = sql.read_text()
    lines = text.splitlines()
    sql.write_text(text.replace("usage_date BETWEEN", "usage_date + usage_date = usage_date AND usage_date BETWEEN", 1))
    code, output = run("--tenant", "initech")
    assert code == 1
    (problem,) = output["problems"]
    assert str(problem["file"]).endswith("total_cost_daily.sql")
    assert "No matching signature for operator + for argument types: DATE, DATE" in str(problem["message"])
    assert isinstance(problem["line"], int)
    assert 1 <= problem["line"] <= len(lines)


def test_an_estimate_of_today_is_remembered_and_one_of_another_day_is_not(tenants: Path, tmp_path: Path) -> None:
    from convergence_assets.assets.dry_run import _EstimateCache

    file = tmp_path / "home" / "dry-runs.json"
    first = _EstimateCache(file, date(2026, 11, 24))
    first.put("a", 5)
    first.put("b", None)
    first.save()
    assert _EstimateCache(file, date(2026, 11, 24)).bytes_of("a") == 5
    assert _EstimateCache(file, date(2026, 11, 24)).bytes_of("b") is None
    assert _EstimateCache(file, date(2026, 11, 25)).bytes_of("a") is None
    file.write_text("{broken")
    assert _EstimateCache(file, date(2026, 11, 24)).bytes_of("a") is None
