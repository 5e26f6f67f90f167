"""Rows that arrive for a published day: found after the schedule's next tick, and that day alone is requested again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.cli.run import Definitions
from convergence_assets.control.incidents import Incident, open_incidents
from convergence_assets.control.lock_session import holding
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling import late_data
from convergence_assets.scheduling.explain import explain
from convergence_assets.scheduling.late_data import ask_sources
from convergence_assets.scheduling.planner import Planner
from convergence_assets.scheduling.targets import Target, Targets, targets_of
from tests.assets.project import Project, hourly
from tests.dagster_homes import dagster_at

ASKS_ALONE = """
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from tests.assets.project import Project
from convergence_assets.assets.late_data import markers
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import partition_states
from convergence_assets.control.lock_session import holding
from convergence_assets.scheduling.late_data import ask_sources
from convergence_assets.scheduling.targets import targets_of
from convergence_assets.warehouse.interface import Job
project = Project.at(Path(sys.argv[1]))
store = holding(project.settings).store
store.now = lambda: datetime(2026, 3, 12, 7, tzinfo=UTC)
(target,) = (replace(t, paused=False, start_date=date(2026, 3, 9)) for t in targets_of([project.tenant]))
ask_sources(store, project.settings, [project.tenant], [target])
with store.read() as connection:
    print(partition_states.progress(connection)[target.name].late_data_asked_at)
with open_warehouse(project.settings) as warehouse:
    days = project.window(date(2026, 3, 9), date(2026, 3, 10))
    print(markers(warehouse, project.tenant, project.tenant.pipelines[0].steps[0], days, Job("ask")))
print([name for name in ("pyarrow", "pandas") if name in sys.modules])
"""
FIRST = date(2026, 3, 9)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path / "dagster") as found:
        yield found


def planned(project: Project, monkeypatch: pytest.MonkeyPatch) -> tuple[ControlStore, Target]:
    """The store and the project's pipeline, whose days are the planner's at a moment in which all `DAYS` are due."""
    store = holding(project.settings).store
    monkeypatch.setattr(store, "now", lambda: datetime(2026, 3, 12, 7, tzinfo=UTC))
    (target,) = targets_of([project.tenant])
    target = replace(target, paused=False, start_date=FIRST)
    Planner(store, Targets([target]), lambda requests: {}).catch_up([target.schedule])
    return store, target


@pytest.mark.slow
def test_a_day_whose_rows_changed_after_its_publish_is_asked_for_again_and_no_other(
    project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    store = holding(project.settings).store
    monkeypatch.setattr(store, "now", lambda: datetime(2026, 3, 12, 7, tzinfo=UTC))
    (target,) = targets_of([project.tenant])
    target = replace(target, paused=False, start_date=FIRST)
    planner = Planner(store, Targets([target]), lambda requested: {})

    def requested() -> list[str]:
        return ask_sources(store, project.settings, [project.tenant], [target])

    project.load_bills([row for day in DAYS for row in hourly(day, "Europe/Berlin", 1.25)])
    first, last = DAYS[::2]
    definitions = Definitions(project.settings)
    assert definitions.run(instance, project.tenant, project.tenant.pipelines[0], first, last).succeeded
    assert planner.catch_up([target.schedule]) == []
    assert requested() == []
    used = datetime(2026, 3, 10, 12, tzinfo=UTC)
    project.load_bills([(used, datetime(2026, 3, 20, tzinfo=UTC), -3.5)])
    assert requested() == []  # it has been asked since the schedule's last tick
    monkeypatch.setattr(store, "now", lambda: datetime(2026, 3, 13, 7, tzinfo=UTC))
    assert requested() == ["acme/demo_costs 2026-03-10"]
    (explained,) = explain(store, [target])
    assert [row.reason.split(":")[0] for row in explained.days] == ["late data"]
    assert {launch.first for launch in planner.catch_up([target.schedule])} == {DAYS[1], DAYS[2] + timedelta(days=1)}
    assert requested() == []


def test_sources_that_cannot_be_asked_are_an_incident_until_they_can(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, target = planned(project, monkeypatch)

    def incidents() -> list[Incident]:
        with store.read() as connection:
            return list(open_incidents(connection, "late_data_unasked"))

    assert ask_sources(store, project.settings, [project.tenant], [target]) == []  # the export is not there yet
    (incident,) = incidents()
    assert (incident.severity, incident.tenant_id, incident.pipeline, incident.cause) == (
        "warning", "acme", "demo_costs", "not_found"
    )  # fmt: skip
    assert "2026-03-09...2026-03-11: dataset acme_export does not exist" in incident.happened
    project.load_bills(hourly(FIRST, "Europe/Berlin", 1.25))
    assert ask_sources(store, project.settings, [project.tenant], [target]) == []
    assert incidents(), "it is not asked before the schedule's next tick"
    monkeypatch.setattr(store, "now", lambda: datetime(2026, 3, 13, 7, tzinfo=UTC))
    ask_sources(store, project.settings, [project.tenant], [target])
    assert incidents() == []


def test_all_sources_of_a_pipeline_are_asked_in_one_tick_at_the_limit_of_pipelines(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, target = planned(project, monkeypatch)
    monkeypatch.setattr(late_data, "PIPELINES_A_TICK", 1)
    [pipeline] = project.tenant.pipelines
    [step] = [step for step in pipeline.steps if step.late_data]
    second = replace(step, table="second")
    tenant = replace(project.tenant, pipelines=(replace(pipeline, steps=(*pipeline.steps, second)),))
    assert ask_sources(store, project.settings, [tenant], [target]) == []  # the export is not there yet
    with store.read() as connection:
        incidents = open_incidents(connection, "late_data_unasked")
    assert {incident.table for incident in incidents} == {step.table, "second"}


def test_asking_imports_neither_arrow_nor_pandas_into_the_code_server(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(project, monkeypatch)
    project.load_bills(hourly(DAYS[1], "Europe/Berlin", 1.25))
    done = subprocess.run(
        [sys.executable, "-c", ASKS_ALONE, str(project.settings.home)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "2026-03-12 07:00:00+00:00",
        "{datetime.date(2026, 3, 10): '2026-03-11 00:00:00+00:00'}",
        "[]",
    ], done.stderr[-2000:]
