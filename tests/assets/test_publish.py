"""Stage, validate, publish on the embedded warehouse: what a reader sees after every kind of end."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.warehouse.errors import NotFound, SchemaMismatch
from tests.assets.kill_harness import kill_again_and_again
from tests.assets.project import Project, hourly
from tests.commands import forked

BERLIN = "Europe/Berlin"
DAY = date(2026, 3, 10)
WEEK = [DAY + timedelta(days=n) for n in range(7)]
TOTALS = "SELECT day, COUNT(*) AS n, SUM(cost) AS cost FROM acme.lines GROUP BY day ORDER BY day"


def bills(days: list[date], cost: float = 1.25) -> list[tuple[datetime, datetime, float | None]]:
    return [row for day in days for row in hourly(day, BERLIN, cost)]


def test_a_partition_run_again_in_any_order_leaves_one_copy_of_its_rows(project: Project) -> None:
    project.load_bills(bills(WEEK))
    project.run(*WEEK)
    once = project.read(TOTALS)
    for n, day in enumerate(reversed(WEEK)):
        project.run(day, run_id=f"again{n}")
    project.run(*WEEK[2:5], run_id="range")
    assert project.read(TOTALS) == once
    assert [row["n"] for row in once] == [24] * 7


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_local_day_of_23_or_25_hours_is_whole(project: Project, day: date, hours: int) -> None:
    days = [day - timedelta(days=1), day, day + timedelta(days=1)]
    project.load_bills(bills(days))
    project.run(*days)
    assert [row["n"] for row in project.read(TOTALS)] == [24, hours, 24]


def test_a_failed_critical_check_leaves_the_published_partition_and_keeps_the_staged_rows(project: Project) -> None:
    project.load_bills(bills([DAY]))
    project.run(DAY)
    before = project.read(TOTALS)
    project.load_bills(bills([DAY], cost=6000.0))
    (report,) = project.run(DAY, run_id="bad", tables=["lines"])
    assert report.published == {}
    assert report.stopped == {DAY: ("cost_is_possible",)}
    assert project.read(TOTALS) == before
    assert list((project.settings.warehouse_folder / "staging").glob("*/bad.duckdb"))


def test_a_failed_warning_publishes(project: Project) -> None:
    project.load_bills(bills([DAY], cost=2000.0))
    (report,) = project.run(DAY, tables=["lines"])
    assert report.published == {DAY: 24}
    assert [(o.name, o.severity) for o in report.outcomes if not o.passed] == [("cost_is_plausible", "warning")]


def test_a_range_publishes_the_days_that_passed_and_stops_the_one_that_failed(project: Project) -> None:
    project.load_bills(bills(WEEK[:3]) + bills([WEEK[3]], cost=9000.0) + bills(WEEK[4:]))
    (report,) = project.run(*WEEK, tables=["lines"])
    assert set(report.published) == set(WEEK) - {WEEK[3]}
    assert set(report.stopped) == {WEEK[3]}
    failed = {o.name: o.failed_partitions for o in report.outcomes if not o.passed}
    assert failed["cost_is_possible"] == (WEEK[3].isoformat(),)


def test_an_empty_partition_fails_by_default_and_stops_that_day_alone(project: Project) -> None:
    project.load_bills(bills([WEEK[0], WEEK[2]]))
    (report,) = project.run(*WEEK[:3], tables=["lines"])
    assert set(report.published) == {WEEK[0], WEEK[2]}
    assert report.stopped == {WEEK[1]: ("partition_is_not_empty",)}


def test_a_source_that_does_not_exist_is_named(project: Project) -> None:
    with pytest.raises(NotFound, match="acme_export"):
        project.run(DAY)


def test_a_changed_column_type_writes_nothing(project: Project) -> None:
    project.load_bills(bills([DAY]))
    project.run(DAY)
    before = project.read(TOTALS)
    step = project.tenant.pipelines[0].steps[0]
    from dataclasses import replace

    from convergence_assets.assets.schema_mapping import table_schema, target_table
    from convergence_assets.assets.warehouse_factory import open_warehouse

    schema = table_schema(step.spec)
    changed = replace(
        schema, columns=tuple(replace(c, type="STRING") if c.name == "cost" else c for c in schema.columns)
    )
    with open_warehouse(project.settings) as warehouse, pytest.raises(SchemaMismatch, match="column cost is NUMERIC"):
        warehouse.ensure_table(target_table(project.tenant, "lines"), changed)
    assert project.read(TOTALS) == before


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.soak)])
def test_a_kill_at_any_point_leaves_the_old_or_the_new_partition_and_a_rerun_the_new_one(
    tmp_path: Path, kills: int
) -> None:
    report = tmp_path / "report"
    process = forked(kill_again_and_again, tmp_path, kills, report)
    process.join()
    assert process.exitcode == 0
    *points, looked, end = [json.loads(line) for line in report.read_text().splitlines()]
    costs = {str(Decimal(24) * Decimal(c)): c for c in ("1.25", "2.5")}
    whole = {Decimal(c) for c in costs}
    assert len(points) == kills
    for point in points:
        left = {day: (n, Decimal(cost)) for day, n, cost in point["left"]}
        again = {day: (n, Decimal(cost)) for day, n, cost in point["again"]}
        assert left["2026-03-10"][0] == 24, point
        assert left["2026-03-10"][1] in whole, point
        assert again == {"2026-03-10": (24, 24 * Decimal(str(point["cost"]))), "2026-03-11": (24, Decimal(30))}, point
    assert end["kills"] >= int(kills * 55 / 60)  # one that is to come within a statement may come when all is done
    assert end["reader"] == 0
    assert looked["looks"] > kills * 100 / 60


def run_twice(home: Path, name: str, days: list[date]) -> None:
    project = Project.at(home)
    for number in range(2):
        for day in days:
            project.run(day, run_id=f"{name}-{number}-{day}", tables=["lines"])


@pytest.mark.slow
def test_two_processes_that_run_the_same_days_at_once_leave_one_copy(project: Project, tmp_path: Path) -> None:
    project.load_bills(bills(WEEK[:3]))
    days = WEEK[:3]
    both = [
        forked(run_twice, project.settings.home, name, order) for name, order in (("one", days), ("two", days[::-1]))
    ]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    rows = project.read(TOTALS)
    assert [(r["n"], r["cost"]) for r in rows] == [(24, Decimal(30))] * 3


def test_rows_that_were_held_back_can_be_looked_at(project: Project) -> None:
    project.load_bills(hourly(DAY, BERLIN, 9000.0))
    (report,) = project.run(DAY, run_id="11111111-2222", tables=("lines",))
    assert report.stopped
    assert project.read(f"SELECT COUNT(*) AS n, MAX(cost) AS most FROM `{report.staging}`")[0]["n"] == 24
    with pytest.raises(NotFound, match="kept for a week"):
        project.read("SELECT * FROM _staging_acme.lines__another_run")
