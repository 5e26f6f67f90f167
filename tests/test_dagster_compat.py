"""Every name of Dagster that is not public does what this project takes it for."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from convergence_assets import dagster_compat


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as found:
        yield found


def test_tags_are_added_to_a_run(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(dg.job(name="nothing")(lambda: None), tags={"a": "1", "b": "1"})
    dagster_compat.add_run_tags(instance, run.run_id, {"b": "2", "c": "3"})
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
    assert dagster_compat.stopped_schedules(instance) == {"off"}


def test_a_pool_keeps_the_limit_it_is_given(instance: dg.DagsterInstance) -> None:
    assert dagster_compat.pool_limits(instance) == {}
    dagster_compat.set_pool_limit(instance, "tenant_acme", 3)
    dagster_compat.set_pool_limit(instance, "tenant_acme", 5)
    assert dagster_compat.pool_limits(instance) == {"tenant_acme": 5}


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
    pages = [dagster_compat.runs_in_order(instance, after, None, 2) for after in (None, runs[1], "nobody")]
    assert [[record.dagster_run.run_id for record in page] for page in pages] == [runs[:2], runs[2:], []]
    moment = pages[0][0].create_timestamp
    assert len(dagster_compat.runs_in_order(instance, None, moment, 10)) == 2


def test_a_run_exists_until_it_is_deleted(instance: dg.DagsterInstance) -> None:
    kept, deleted = made_runs(instance, 2)
    instance.delete_run(deleted)
    assert dagster_compat.run_exists(instance, kept)
    assert not dagster_compat.run_exists(instance, deleted)
    assert dagster_compat.existing_runs(instance, [kept, deleted]) == {kept}
    assert dagster_compat.existing_runs(instance, []) == set()
    (newer,) = made_runs(instance, 1)
    assert dagster_compat.all_runs(instance) == [newer, kept]


def test_runs_are_told_apart_by_another_status_than_the_one_known(instance: dg.DagsterInstance) -> None:
    still, moved = made_runs(instance, 2)
    run = instance.get_run_by_id(moved)
    assert run is not None
    instance.report_run_canceling(run)
    for known in ("NOT_STARTED", "A_STATUS_OF_A_LATER_DAGSTER"):
        found = dagster_compat.runs_of_other_status(instance, [still, moved], known)
        assert {r.dagster_run.run_id for r in found} == ({moved} if known == "NOT_STARTED" else {still, moved})
    assert dagster_compat.runs_of_other_status(instance, [], "QUEUED") == []


def test_events_of_a_run_come_in_pages_after_the_last_one_read(instance: dg.DagsterInstance) -> None:
    run_id = failed_run(instance)
    kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_UP_FOR_RETRY, dg.DagsterEventType.STEP_FAILURE}
    first, more = dagster_compat.run_events(instance, run_id, -1, 2, kinds)
    rest, no_more = dagster_compat.run_events(instance, run_id, first[-1].storage_id, 2, kinds)
    names = [
        r.event_log_entry.dagster_event.event_type_value for r in (*first, *rest) if r.event_log_entry.dagster_event
    ]
    assert names == ["STEP_START", "STEP_UP_FOR_RETRY", "STEP_FAILURE"]
    assert (more, no_more) == (True, False)
    assert len(dagster_compat.run_events(instance, run_id, -1, 1000)[0]) > 5
    assert dagster_compat.run_events(instance, "nobody", -1, 10) == ([], False)


def test_the_error_of_a_step_is_its_codes_own_on_every_attempt(instance: dg.DagsterInstance) -> None:
    kinds = {dg.DagsterEventType.STEP_UP_FOR_RETRY, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    records, _ = dagster_compat.run_events(instance, failed_run(instance), -1, 10, kinds)
    events = [record.event_log_entry.dagster_event for record in records]
    errors = [dagster_compat.own_error(event) for event in events if event]
    assert errors == [dagster_compat.OwnError("table: not loaded", ("Failure", "KeyError"))] * 3
    (started,), _ = dagster_compat.run_events(instance, failed_run(instance), -1, 1, {dg.DagsterEventType.STEP_START})
    assert started.event_log_entry.dagster_event is not None
    assert dagster_compat.own_error(started.event_log_entry.dagster_event) is None
