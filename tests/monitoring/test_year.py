"""A simulated year with a removal a day: state grows with the days, what is not state does not."""

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
from dagster._core.events import EVENT_TYPE_TO_PIPELINE_RUN_STATUS

from benchmarks.simulated_deployment import SimulatedDeployment
from benchmarks.year import AT_MOST, simulated
from tests.dagster_homes import dagster_at


@pytest.fixture(autouse=True)
def runs_log_nothing() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_rows_of_a_simulated_run_are_those_that_dagster_stores_of_its_events(tmp_path: Path) -> None:
    simulated = SimulatedDeployment(tmp_path / "simulated", tenants=2, seed=2)
    with closing(simulated), dagster_at(tmp_path / "stored") as instance:
        for _ in range(4):
            simulated.pass_a_day()
        for record in reversed(simulated.instance.get_run_records()):
            run, events = record.dagster_run, list(simulated.instance.all_logs(record.dagster_run.run_id))
            _add(instance, simulated.instance, record)
            instance.event_log_storage.store_event_batch(events)
            for event in events:
                if event.dagster_event_type in EVENT_TYPE_TO_PIPELINE_RUN_STATUS:
                    moment = datetime.fromtimestamp(event.timestamp, UTC)
                    instance.run_storage.handle_run_event(run.run_id, event.get_dagster_event(), moment)
        statuses = {record.dagster_run.status for record in instance.get_run_records()}
        assert statuses == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
        for table in ("event_logs", "asset_check_executions", "asset_event_tags", "asset_keys", "runs", "run_tags"):
            assert _rows(simulated.instance, table) == _rows(instance, table), table


def _add(instance: dg.DagsterInstance, simulated: dg.DagsterInstance, record: dg.RunRecord) -> None:
    run, storage = record.dagster_run, cast(Any, instance.run_storage)
    assert run.job_snapshot_id
    assert run.execution_plan_snapshot_id
    storage.add_job_snapshot(simulated.get_job_snapshot(run.job_snapshot_id))
    storage.add_execution_plan_snapshot(simulated.get_execution_plan_snapshot(run.execution_plan_snapshot_id))
    storage.add_historical_run(run._replace(status=dg.DagsterRunStatus.NOT_STARTED), record.create_timestamp)


def _rows(instance: dg.DagsterInstance, table: str) -> list[dict[str, Any]]:
    """Without what depends on the clock, and the ids of rows that others replace."""
    storage: Any = instance.run_storage if table in ("runs", "run_tags") else instance.event_log_storage
    with storage.connect() if table in ("runs", "run_tags") else storage.index_connection() as connection:
        found = connection.exec_driver_sql(f"SELECT * FROM {table}").mappings().all()
    left_out = {"create_timestamp", "start_time", "end_time", "update_timestamp"}
    left_out |= {"id"} if table in ("asset_keys", "run_tags") else set()
    rows = [{name: value for name, value in row.items() if name not in left_out} for row in found]
    return sorted(rows, key=str)


def test_of_a_short_year_what_is_not_state_stays_as_it_was_after_a_quarter(tmp_path: Path) -> None:
    year = simulated(tmp_path, tenants=1, days=16, killed=2, looks=1)
    early, late = year.early.sizes, year.late.sizes
    assert year.growth <= AT_MOST
    for table in ("event_logs", "asset_check_executions", "job_ticks"):
        assert late.history_rows[table] <= AT_MOST * max(early.history_rows[table], 10), table
    assert late.history_rows["snapshots"] <= 8, "a job and a plan of two releases, of days that succeed and that fail"
    published = "convergence_publications"
    assert late.state_rows[published] == year.late.table_days > year.early.table_days == early.state_rows[published]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_of_a_year_what_is_not_state_stays_as_it_was_after_a_quarter(tmp_path: Path) -> None:
    year = simulated(tmp_path, tenants=10, days=365)
    assert year.growth <= AT_MOST
    assert year.kills > 0
    assert year.late.sizes.state_rows["convergence_publications"] == year.late.table_days
