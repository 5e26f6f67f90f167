"""A day after another one of the same pipeline never starts Google's analyzer."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from convergence_assets.warehouse.duckdb import outcomes
from tests.assets.project import Project, hourly

DAY = date(2026, 3, 10)


def test_the_second_day_works_out_no_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.at(tmp_path)
    days = [DAY, DAY + timedelta(days=1)]
    project.load_bills([bill for day in days for bill in hourly(day, project.tenant.timezone, 1.5)])
    project.run(days[0], run_id="first")

    def started(sql: str, *_: object) -> None:
        raise AssertionError(f"worked out again: {sql}")

    monkeypatch.setattr(outcomes, "_in_memory", {})
    monkeypatch.setattr(outcomes, "_analyze_statement", started)
    reports = project.run(days[1], run_id="second")
    assert [set(report.published) for report in reports] == [{days[1]}] * 2
