"""`convergence validate --tests`: a step's SELECT over given rows, held against the rows that are expected."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from convergence_assets.cli.main import app

PIPELINE = """
name: made
steps:
  - kind: bigquery
    table: totals
    partition_column: day
    columns:
      - {name: day, type: DATE, mode: REQUIRED}
      - {name: kind, type: STRING}
      - {name: cost, type: NUMERIC}
      - {name: tags, type: STRING, mode: REPEATED}
    tests:
      - name: costs_are_added_exactly
        partition: 2026-10-05
        given:
          bills:
            - {moment: 2026-10-04T22:30:00Z, kind: a, cost: 0.1, tags: [x]}
            - {moment: 2026-10-05T21:30:00Z, kind: a, cost: 0.2, tags: [y]}
            - {moment: 2026-10-05T22:30:00Z, kind: a, cost: 5}
        expect:
          - {day: 2026-10-05, kind: a, cost: 0.3, tags: [x, y]}
      - name: no_rows_make_none
        partition: 2026-10-05
        expect: []
sources:
  bills:
    table: raw.bills
    columns:
      - {name: moment, type: TIMESTAMP, mode: REQUIRED}
      - {name: kind, type: STRING, mode: REQUIRED}
      - {name: cost, type: NUMERIC}
      - {name: tags, type: STRING, mode: REPEATED}
"""
SQL = """SELECT DATE(moment, @timezone) AS day, kind, SUM(cost) AS cost, ARRAY_CONCAT_AGG(tags ORDER BY moment) AS tags
FROM bills
WHERE moment >= @partition_start AND moment < @partition_end
GROUP BY day, kind
"""
TENANT = """
tenant_id: acme
display_name: Acme
timezone: Europe/Berlin
owners: [a@acme.example]
pipelines:
  - template: made
    start_date: 2026-10-01
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "tenants" / "acme" / "pipelines" / "made"
    made.mkdir(parents=True)
    (made / "pipeline.yaml").write_text(PIPELINE)
    (made / "totals.sql").write_text(SQL)
    shutil.copy(Path("tenants", "_defaults.yaml"), tmp_path / "tenants")
    (tmp_path / "tenants" / "acme" / "tenant.yaml").write_text(TENANT)
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(tmp_path / "tenants"))
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    return made


def validated() -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["validate", "--tests", "--json"])
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def edited(folder: Path, old: str, new: str) -> None:
    file = folder / "pipeline.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


def test_tests_that_hold_say_nothing_and_are_counted(folder: Path) -> None:
    code, answer = validated()
    assert (code, answer["problems"], answer["tests"]) == (0, [], 2)


def test_a_test_that_does_not_hold_names_the_rows_at_its_line(folder: Path) -> None:
    edited(folder, "cost: 0.3", "cost: 0.31")
    code, answer = validated()
    (problem,) = answer["problems"]
    assert code == 1
    assert problem["line"] == 1 + PIPELINE.splitlines().index("      - name: costs_are_added_exactly")
    assert "costs_are_added_exactly" in problem["message"]
    assert "missing" in problem["message"]
    assert "0.310000000" in problem["message"]
    assert "not expected" in problem["message"]
    assert "0.300000000" in problem["message"]


@pytest.mark.parametrize(
    ("old", "new", "key", "suggestion"),
    [
        ("kind: a, cost: 0.1", "kinds: a, cost: 0.1", "steps[0].tests[0].given.bills[0].kinds", "kind"),
        ("          bills:", "          bils:", "steps[0].tests[0].given.bils", "bills"),
        ("cost: 0.3, tags", "costs: 0.3, tags", "steps[0].tests[0].expect[0].costs", "cost"),
        ("no_rows_make_none", "costs_are_added_exactly", "steps[0].tests[1].name", None),
    ],
)
def test_a_name_that_nothing_has_is_a_problem_without_running_a_test(
    folder: Path, old: str, new: str, key: str, suggestion: str | None
) -> None:
    edited(folder, old, new)
    code, answer = validated()
    (problem,) = answer["problems"]
    assert (code, problem["key"], problem["suggestion"]) == (1, key, suggestion)


def test_a_value_that_does_not_fit_its_column_is_named(folder: Path) -> None:
    edited(folder, "cost: 0.1", "cost: much")
    code, answer = validated()
    (problem,) = answer["problems"]
    assert code == 1
    assert "much" in problem["message"]
    assert "NUMERIC" in problem["message"]


def test_a_test_is_no_part_of_a_tables_definition(folder: Path) -> None:
    from convergence_assets.settings import Settings
    from convergence_assets.tenancy.registry import load_registry

    def definition() -> str:
        settings = Settings.from_env()
        registry = load_registry(settings.tenants, None, today=date(2026, 11, 1))
        return registry.tenants["acme"].pipelines[0].steps[0].definition_hash

    before = definition()
    edited(folder, "cost: 0.3", "cost: 0.31")
    assert definition() == before
