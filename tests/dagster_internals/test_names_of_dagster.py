"""Every name of Dagster that is not public does what this project takes it for."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value
from dagster_shared.error import SerializableErrorInfo

from convergence_assets.dagster_internals import automation_states, pools, run_launchers, run_records
from tests.dagster_homes import dagster_at

ROOT = Path(__file__).parents[2]


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path_factory.mktemp("dagster")) as found:
        yield found


def test_tags_are_added_to_a_run(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(dg.job(name="nothing")(lambda: None), tags={"a": "1", "b": "1"})
    run_records.add_run_tags(instance, run.run_id, {"b": "2", "c": "3"})
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert {key: found.tags[key] for key in "abc"} == {"a": "1", "b": "2", "c": "3"}


def test_only_schedules_that_somebody_switched_off_are_stopped(instance: dg.DagsterInstance) -> None:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"))
    for name, status in (("off", InstigatorStatus.STOPPED), ("on", InstigatorStatus.RUNNING),
                         ("as_declared", InstigatorStatus.DECLARED_IN_CODE)):  # fmt: skip
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
        data = ScheduleInstigatorData("0 6 * * *", None)
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SCHEDULE, status, data))
    assert automation_states.stopped_schedules(instance) == {"off"}


def test_a_pool_keeps_the_limit_it_is_given(instance: dg.DagsterInstance) -> None:
    assert pools.pool_limits(instance) == {}
    pools.set_pool_limit(instance, "tenant_acme", 3)
    pools.set_pool_limit(instance, "tenant_acme", 5)
    assert pools.pool_limits(instance) == {"tenant_acme": 5}


DAYS = dg.DailyPartitionsDefinition("2026-03-01")


@dg.asset(key=["acme", "bills", "lines"], partitions_def=DAYS, retry_policy=dg.RetryPolicy(max_retries=1))
def lines() -> None:
    try:
        raise KeyError("the source is away")
    except KeyError as error:
        raise dg.Failure("table: not loaded") from error


def failed_run(instance: dg.DagsterInstance) -> str:
    return dg.materialize([lines], instance=instance, partition_key="2026-03-01", raise_on_error=False).run_id


def made_runs(instance: dg.DagsterInstance, number: int) -> list[str]:
    job = dg.job(name="nothing")(lambda: None)
    return [instance.create_run_for_job(job).run_id for _ in range(number)]


def test_runs_come_in_the_order_in_which_they_were_made(instance: dg.DagsterInstance) -> None:
    runs = made_runs(instance, 3)
    pages = [run_records.runs_in_order(instance, after, None, 2) for after in (None, runs[1], "nobody")]
    assert [[record.dagster_run.run_id for record in page] for page in pages] == [runs[:2], runs[2:], []]
    moment = pages[0][0].create_timestamp
    assert len(run_records.runs_in_order(instance, None, moment, 10)) == 2


def test_a_run_exists_until_it_is_deleted(instance: dg.DagsterInstance) -> None:
    kept, deleted = made_runs(instance, 2)
    instance.delete_run(deleted)
    assert run_records.run_exists(instance, kept)
    assert not run_records.run_exists(instance, deleted)
    assert run_records.existing_runs(instance, [kept, deleted]) == {kept}
    assert run_records.existing_runs(instance, []) == set()
    (newer,) = made_runs(instance, 1)
    assert run_records.all_runs(instance) == [newer, kept]


def test_runs_are_told_apart_by_another_status_than_the_one_known(instance: dg.DagsterInstance) -> None:
    still, moved = made_runs(instance, 2)
    run = instance.get_run_by_id(moved)
    assert run is not None
    instance.report_run_canceling(run)
    for known in ("NOT_STARTED", "A_STATUS_OF_A_LATER_DAGSTER"):
        found = run_records.runs_of_other_status(instance, [still, moved], known)
        assert {r.dagster_run.run_id for r in found} == ({moved} if known == "NOT_STARTED" else {still, moved})
    assert run_records.runs_of_other_status(instance, [], "QUEUED") == []


def test_events_of_a_run_come_in_pages_after_the_last_one_read(instance: dg.DagsterInstance) -> None:
    run_id = failed_run(instance)
    kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_UP_FOR_RETRY, dg.DagsterEventType.STEP_FAILURE}
    first, more = run_records.run_events(instance, run_id, -1, 2, kinds)
    rest, no_more = run_records.run_events(instance, run_id, first[-1].storage_id, 2, kinds)
    names = [
        r.event_log_entry.dagster_event.event_type_value for r in (*first, *rest) if r.event_log_entry.dagster_event
    ]
    assert names == ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_FAILURE"]
    assert (more, no_more) == (True, False)
    assert len(run_records.run_events(instance, run_id, -1, 1000)[0]) > 5
    assert run_records.run_events(instance, "nobody", -1, 10) == ([], False)


def test_the_error_of_a_step_is_its_codes_own_on_every_attempt(instance: dg.DagsterInstance) -> None:
    kinds = {dg.DagsterEventType.STEP_UP_FOR_RETRY, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    records, _ = run_records.run_events(instance, failed_run(instance), -1, 10, kinds)
    events = [record.event_log_entry.dagster_event for record in records]
    errors = [run_records.own_error(event) for event in events if event]
    assert errors == [run_records.OwnError("table: not loaded", ("Failure", "KeyError"))] * 3
    (started,), _ = run_records.run_events(instance, failed_run(instance), -1, 1, {dg.DagsterEventType.STEP_START})
    assert started.event_log_entry.dagster_event is not None
    assert run_records.own_error(started.event_log_entry.dagster_event) is None


def started(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
    return instance.create_run_for_job(dg.job(name="nothing")(lambda: None), status=status)


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_is_brought_to_its_end_from_outside(instance: dg.DagsterInstance) -> None:
    canceled, failed, queued = started(instance), started(instance), started(instance, dg.DagsterRunStatus.NOT_STARTED)
    run_records.run_is_canceling(instance, canceled)
    assert status_of(instance, canceled) == dg.DagsterRunStatus.CANCELING
    run_records.run_was_canceled(instance, canceled, "its process is gone")
    run_records.run_has_failed(instance, failed, "stuck")
    run_records.cancel_queued(instance, queued)
    assert [status_of(instance, run).value for run in (canceled, failed, queued)] == ["CANCELED", "FAILURE", "CANCELED"]
    pools.free_slots(instance, failed.run_id)


def test_a_queued_run_leaves_the_queue_for_good(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("queue")
    queue = "module: dagster._core.run_coordinator.queued_run_coordinator, class: QueuedRunCoordinator"
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\nrun_coordinator: {{{queue}}}\n")
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"))
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "nothing")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = instance.create_run_for_job(
            dg.job(name="nothing")(lambda: None), status=dg.DagsterRunStatus.NOT_STARTED, remote_job_origin=origin
        )
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_ENQUEUED.value, job_name=run.job_name, message="enqueued"),
            run.run_id,
        )
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status == dg.DagsterRunStatus.QUEUED
        run_records.cancel_queued(instance, found)
        assert status_of(instance, run) == dg.DagsterRunStatus.CANCELED


def test_the_last_event_of_a_run_is_found_and_the_last_of_a_kind(instance: dg.DagsterInstance) -> None:
    run = started(instance)
    assert run_records.last_event_at(instance, run.run_id) is None
    before = datetime.now(UTC)
    run_records.run_is_canceling(instance, run)
    run_records.log_to_run(instance, run, "convergence remediation: something was done")
    last = run_records.last_event_at(instance, run.run_id)
    canceling = run_records.last_event_at(instance, run.run_id, dg.DagsterEventType.RUN_CANCELING)
    assert last is not None
    assert canceling is not None
    assert before <= canceling <= last <= datetime.now(UTC)
    assert run_records.last_event_at(instance, run.run_id, dg.DagsterEventType.RUN_STARTING) is None


def test_a_workers_command_is_what_python_takes_as_a_module(instance: dg.DagsterInstance) -> None:
    origin = JobPythonOrigin(
        "__ASSET_JOB", RepositoryPythonOrigin(sys.executable, ModuleCodePointer("some.module", "defs"))
    )
    run = started(instance)
    with pytest.raises(DagsterLaunchFailedError, match="names no code"):
        run_launchers.worker_command(instance, run)
    own = instance.create_run_for_job(dg.job(name="nothing")(lambda: None), job_code_origin=origin)
    command = run_launchers.worker_command(instance, own)
    assert command[:3] == ["dagster", "api", "execute_run"]
    assert deserialize_value(command[3], ExecuteRunArgs).run_id == own.run_id


def test_a_launcher_that_cannot_tell_says_nothing_of_a_workers_health(instance: dg.DagsterInstance) -> None:
    assert run_launchers.worker_is_healthy(instance, started(instance)) is None


def test_sensors_and_schedules_tell_of_their_last_ticks_and_daemons_of_their_heartbeat(
    instance: dg.DagsterInstance,
) -> None:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "ledger")
    state = InstigatorState(
        origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData(min_interval=15)
    )
    instance.add_instigator_state(state)
    (untouched,) = automation_states.automations(instance, 3)
    assert (untouched.name, untouched.what, untouched.last_tick_at) == ("ledger", "sensor", None)
    for moment, status in ((1_700_000_000.0, TickStatus.SUCCESS), (1_700_000_100.0, TickStatus.FAILURE)):
        error = SerializableErrorInfo("it\n broke", [], "ValueError") if status == TickStatus.FAILURE else None
        instance.create_tick(
            TickData(
                state.instigator_origin_id, "ledger", InstigatorType.SENSOR, status, moment,
                run_ids=[], run_keys=[], error=error, selector_id=state.selector_id,
            )
        )  # fmt: skip
    (found,) = automation_states.automations(instance, 3)
    assert found.interval == timedelta(seconds=15)
    assert found.last_tick_at == datetime.fromtimestamp(1_700_000_100, UTC)
    assert found.last_statuses == ("FAILURE", "SUCCESS")
    assert found.last_error == "it broke"
    instance.add_daemon_heartbeat(DaemonHeartbeat(1_700_000_000.0, "SENSOR", "id"))
    assert automation_states.daemon_heartbeats(instance) == {"SENSOR": datetime.fromtimestamp(1_700_000_000, UTC)}


@dg.asset(
    key=["acme", "bills", "counted"], partitions_def=DAYS,
)  # fmt: skip
def counted(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    for number, day in enumerate(context.partition_keys):
        context.add_asset_metadata({"dagster/row_count": number}, asset_key=context.asset_key, partition_key=day)
    return dg.MaterializeResult(metadata={"of_the_run": 7})


def test_metadata_of_a_day_reaches_its_own_materialisation_alone(instance: dg.DagsterInstance) -> None:
    tags = {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-03"}
    assert dg.materialize([counted], instance=instance, tags=tags).success
    records = instance.fetch_materializations(counted.key, limit=5).records
    materialization = [record.asset_materialization for record in records]
    assert {m.partition: (m.metadata["dagster/row_count"].value, m.metadata["of_the_run"].value) for m in materialization if m} == {
        "2026-03-01": (0, 7), "2026-03-02": (1, 7), "2026-03-03": (2, 7),
    }  # fmt: skip


@pytest.mark.parametrize("shown", [True, False])
def test_a_signal_that_a_library_wraps_in_an_error_of_its_own_is_an_interruption(shown: bool) -> None:
    """DuckDB raises "Query interrupted" from it; numpy says that a module is not there, from None."""

    @run_records.interruptions_shown()
    def fail() -> None:
        try:
            raise dg.DagsterExecutionInterruptedError
        except dg.DagsterExecutionInterruptedError as interruption:
            raise RuntimeError("Query interrupted") from interruption if shown else None

    with pytest.raises(dg.DagsterExecutionInterruptedError, match="Query interrupted"):
        fail()


def test_an_error_that_came_of_no_signal_stays_what_it_is() -> None:
    @run_records.interruptions_shown()
    def fail() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("of its own") from error

    with pytest.raises(ValueError, match="of its own"):
        fail()
