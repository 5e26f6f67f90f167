"""Runs as executions of a Cloud Run job: of one tenant, cancelled, ended without a word, and while the API is away."""

import signal
from collections.abc import Callable, Iterator
from datetime import timedelta

import dagster as dg
import pytest

from convergence_assets.api.cancellation import end_run
from convergence_assets.dagster_internals import run_launchers
from convergence_assets.run_launcher.platforms import worker_state
from convergence_assets.settings import ONLY_TENANTS
from convergence_assets.tenancy.tenant import StuckLimits
from tests.cloud_run.platform import DAYS, CloudRunPlatform, cloud_run

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudRunPlatform]:
    with cloud_run(tmp_path_factory.mktemp("cloud_run")) as found:
        yield found


@pytest.fixture
def platform(shared: CloudRunPlatform) -> CloudRunPlatform:
    api = shared.api
    api.away, api.loses_answers, api.starts_nothing = None, False, False
    api.requests.clear()
    return shared


@pytest.fixture
def tick(platform: CloudRunPlatform) -> Iterator[Callable[[], None]]:
    with platform.queue() as look:
        yield look


def test_a_run_is_an_execution_that_loads_its_tenant_alone(platform: CloudRunPlatform) -> None:
    run = platform.launched(DAYS[0])
    execution = platform.api.of(run.run_id)
    assert execution.env == {ONLY_TENANTS: "acme"}
    assert platform.instance.run_launcher.check_run_worker_health(run).status.value == "RUNNING"
    assert platform.seen_to_its_end(run).status == dg.DagsterRunStatus.SUCCESS


def test_a_run_that_a_person_ends_is_cancelled_and_not_asked_for_again(platform: CloudRunPlatform) -> None:
    run = platform.launched(DAYS[1])
    assert end_run(platform.instance, run.run_id) == ("canceling", "its process was asked to end")
    assert platform.seen_to_its_end(run).status == dg.DagsterRunStatus.CANCELED
    assert platform.api.of(run.run_id).cancelled
    assert platform.known.indexed(run).status == "canceled"
    assert DAYS[1] not in platform.known.due()
    assert all("was asked to end" in alert for alert in platform.alerts_of(run))
    assert not platform.instance.run_launcher.terminate(run.run_id)


def test_an_execution_that_ended_without_a_word_is_interrupted_and_its_day_is_asked_for_at_once(
    platform: CloudRunPlatform,
) -> None:
    run = platform.launched(DAYS[2])
    platform.api.send(platform.api.of(run.run_id), signal.SIGKILL)
    ended = platform.seen_to_its_end(run)
    found = platform.known.indexed(ended)
    assert (found.status, found.error_class) == ("canceled", "interrupted")
    row = platform.known.due()[DAYS[2]]
    assert (row.state, row.attempts, row.interruptions) == ("due", 0, 1)
    assert platform.alerts_of(run) == []
    again = platform.launched(DAYS[2])
    assert platform.seen_to_its_end(again).status == dg.DagsterRunStatus.SUCCESS


def test_an_execution_without_memory_is_a_failure_and_its_alert_says_so(platform: CloudRunPlatform) -> None:
    run = platform.launched(DAYS[3])
    message = "The container was terminated: memory limit of 512 MiB exceeded."
    platform.api.send(platform.api.of(run.run_id), signal.SIGKILL, message)
    assert platform.seen_to_its_end(run).status == dg.DagsterRunStatus.FAILURE
    assert any(f"its execution: OutOfMemory: {message}" in alert for alert in platform.alerts_of(run))


def test_while_the_api_is_away_runs_wait_in_the_queue_and_start_afterwards(
    platform: CloudRunPlatform, tick: Callable[[], None]
) -> None:
    runs = [platform.queued(day) for day in DAYS[4:6]]
    for status in (0, 503, 429, 500):
        platform.api.away = status
        tick()
        assert {platform.current(run).status for run in runs} == {dg.DagsterRunStatus.QUEUED}
    # One run is enough to know: Dagster tries no other one before it has waited.
    assert [run_launchers.was_requeued(platform.instance, run) for run in runs] == [True, False]
    platform.api.away = None
    tick()
    assert {platform.seen_to_its_end(run).status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert all(platform.known.indexed(run).attempt == 1 for run in runs)


def test_a_run_whose_launch_was_not_answered_is_executed_once(
    platform: CloudRunPlatform, tick: Callable[[], None]
) -> None:
    platform.api.loses_answers = True
    run = platform.queued(DAYS[6])
    tick()
    assert platform.seen_to_its_end(run).status == dg.DagsterRunStatus.SUCCESS
    assert platform.api.of(run.run_id)


def test_a_run_goes_on_while_the_api_is_away(platform: CloudRunPlatform) -> None:
    run = platform.launched(DAYS[7])
    platform.api.away = 503
    assert platform.seen_to_its_end(run).status == dg.DagsterRunStatus.SUCCESS


def test_a_run_that_cloud_run_refuses_fails_and_says_why(platform: CloudRunPlatform, tick: Callable[[], None]) -> None:
    platform.api.away = 403
    run = platform.queued(DAYS[8])
    tick()
    assert platform.current(run).status == dg.DagsterRunStatus.FAILURE
    messages = [str(event.dagster_event) for event in platform.instance.all_logs(run.run_id)]
    assert any("Cloud Run refuses to execute projects/example-project" in message for message in messages)


def test_an_execution_that_does_not_start_is_cancelled_and_the_alert_says_why(platform: CloudRunPlatform) -> None:
    platform.api.starts_nothing = True
    run = platform.launched(DAYS[10])
    platform.known.follow()
    late = StuckLimits().starting + timedelta(minutes=1)
    platform.remedy_later(late)
    assert platform.api.of(run.run_id).cancelled
    platform.remedy_later(late + timedelta(minutes=1))
    platform.known.follow()
    reason = "starting (execution: ResourcesAvailable: Waiting for resources: quota of the region is used up.)"
    assert platform.known.indexed(run).stuck_reason == reason
    assert any("its execution: ResourcesAvailable" in alert for alert in platform.alerts_of(run))


def test_a_launch_that_was_cut_off_is_interrupted(platform: CloudRunPlatform) -> None:
    state = worker_state(platform.instance, platform.starting(DAYS[9]))
    assert state is not None
    assert (state.gone, state.interrupted, state.reason) == (True, True, "Cloud Run has none of this run")
