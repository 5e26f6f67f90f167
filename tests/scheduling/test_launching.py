"""What Dagster is asked for and what it says of it."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.assets.tags import REQUEST_TAG
from convergence_assets.control.partition_states import Request
from convergence_assets.control.run_requests import Outcome
from convergence_assets.scheduling.launching import look_up_requests
from convergence_assets.scheduling.requesting import RequestedRun
from convergence_assets.scheduling.schedule_names import schedule_name
from tests.dagster_homes import dagster_at
from tests.scheduling.world import START

KEY = "acme/a/2026-03-01/v0/a1"
REQUEST = Request(KEY, "acme", "a", START, START, "schedule", datetime(2026, 3, 2, 6, tzinfo=UTC), None, None)
STATUS = dg.DagsterRunStatus


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path) as found:
        yield found


def run(instance: dg.DagsterInstance, status: STATUS, key: str = KEY) -> str:
    job = dg.job(name="nothing")(lambda: None)
    return instance.create_run_for_job(job, tags={REQUEST_TAG: key}, status=status).run_id


def test_a_request_without_a_run_is_left_out(instance: dg.DagsterInstance) -> None:
    run(instance, STATUS.SUCCESS, "another/key")
    assert look_up_requests(instance, [REQUEST]) == {}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(STATUS.STARTING, None), (STATUS.STARTED, None), (STATUS.SUCCESS, "succeeded"), (STATUS.FAILURE, "failed"),
     (STATUS.CANCELED, "failed")],
)  # fmt: skip
def test_a_request_has_the_outcome_of_its_run(
    instance: dg.DagsterInstance, status: STATUS, outcome: Outcome | None
) -> None:
    run_id = run(instance, status)
    assert look_up_requests(instance, [REQUEST]) == {KEY: RequestedRun(run_id, outcome)}


def test_a_second_run_for_a_request_that_another_took_says_nothing_of_it(instance: dg.DagsterInstance) -> None:
    first = run(instance, STATUS.STARTED)
    run(instance, STATUS.FAILURE)
    assert look_up_requests(instance, [replace(REQUEST, run_id=first)]) == {KEY: RequestedRun(first, None)}
    assert look_up_requests(instance, [REQUEST]) == {KEY: RequestedRun(first, None)}


def test_a_deployment_without_a_tenant_that_can_be_served_loads_with_its_sensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(tmp_path / "tenants"))
    (tmp_path / "tenants" / "broken").mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "tenants" / "_defaults.yaml", tmp_path / "tenants")
    from convergence_assets.definitions import defs

    loaded = defs() if callable(defs) else defs
    repository = loaded.get_repository_def()
    assert {"catch_up", "ledger", "stuck_runs", "alerts"} <= {sensor.name for sensor in repository.sensor_defs}
    assert [key.path for key in repository.asset_graph.get_all_asset_keys()] == [["broken", "config"]]


def test_a_schedules_name_says_what_it_means() -> None:
    assert schedule_name("0 6 * * *", "Europe/Berlin") == "at_0_6_x_x_x_in_Europe_Berlin"
    crons = ["*/5 6 * * *", "5 6 * * *", "0-5 6 * * *", "0,5 6 * * *", "0 5,6 * * *"]
    names = {schedule_name(cron, zone) for cron in crons for zone in ("Etc/GMT+5", "Etc/GMT-5", "UTC")}
    assert len(names) == 15
