"""The state of an execution in Cloud Run's own words, and what of it is no failure of the run."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud.run_v2.types import Condition, Execution, Task, TaskAttemptResult
from google.rpc.status_pb2 import Status

from convergence_assets.run_launcher.cloud_run_executions import KIND, executes, state_of
from convergence_assets.run_launcher.worker_state import WorkerState

ENDED = datetime(2026, 3, 2, tzinfo=UTC)


def ended(**counts: int) -> Execution:
    return Execution(completion_time=ENDED, **counts)


def task(message: str = "", **result: int) -> Task:
    return Task(last_attempt_result=TaskAttemptResult(status=Status(message=message), **result))


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (task("memory limit of 2048 MiB exceeded", exit_code=137), "OutOfMemory: memory limit of 2048 MiB exceeded"),
        (
            task("Terminating task because it has reached the maximum timeout of 600 seconds.", exit_code=143),
            "Timeout: Terminating task because it has reached the maximum timeout of 600 seconds.",
        ),
        (task("The container exited with an error.", exit_code=1), "exit code 1: The container exited with an error."),
        (task("", term_signal=11), "signal 11"),
    ],
    ids=["no memory", "out of time", "an error", "a crash"],
)
def test_what_the_worker_itself_did_is_a_failure(last: Task, expected: str) -> None:
    assert state_of(ended(failed_count=1), [last]) == WorkerState(KIND, reason=expected)


@pytest.mark.parametrize(
    "last",
    [task(exit_code=143), task(exit_code=137), task(term_signal=9), task("an internal error")],
    ids=["SIGTERM", "SIGKILL", "by signal", "without a word"],
)
def test_what_its_host_has_ended_is_an_interruption(last: Task) -> None:
    state = state_of(ended(failed_count=1), [last])
    assert state.interrupted
    assert str(state.reason).startswith("Ended by Cloud Run")


def test_a_cancelled_execution_is_an_interruption_where_nobody_asked_dagster_for_it() -> None:
    assert state_of(ended(cancelled_count=1), []) == WorkerState(KIND, interrupted=True, reason="Cancelled")


def test_one_that_waits_says_why_and_one_that_works_says_nothing() -> None:
    pending: Any = Condition(
        type_="ResourcesAvailable", state=Condition.State.CONDITION_PENDING, message="quota  is\nused up"
    )
    assert state_of(Execution(conditions=[pending]), []).reason == "ResourcesAvailable: quota is used up"
    assert state_of(Execution(conditions=[pending], running_count=1), []) == WorkerState(KIND)
    assert state_of(ended(succeeded_count=1), []).reason == "exit code 0"
    assert state_of(ended(failed_count=1), []).reason == "Failed"


def test_an_execution_is_found_by_the_runs_id_in_its_arguments() -> None:
    execution = Execution(
        template={"containers": [{"args": ["dagster", "api", "execute_run", '{"run_id": "5f0c1a7e"}']}]}
    )
    assert executes(execution, "5f0c1a7e")
    assert not executes(execution, "6f0c1a7e")
