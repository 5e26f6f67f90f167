"""Executions of a Cloud Run job: the calls of its API, and what an execution's state means for its run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from convergence_assets.run_launcher.worker_state import WorkerState, with_message

if TYPE_CHECKING:
    from google.cloud import run_v2

KIND = "execution"
_SIGNALS = frozenset({9, 15})
"""SIGKILL and SIGTERM: as signals, or as exit codes of a container, which add 128."""


@dataclass(frozen=True)
class Clients:
    """The parts of Cloud Run's API that a launcher needs. Each call raises `no_answer()` or `refused()`."""

    jobs: "run_v2.JobsClient"
    _executions: "run_v2.ExecutionsClient"
    _tasks: "run_v2.TasksClient"

    @classmethod
    def at(cls, endpoint: str | None) -> Self:
        """With the account of this process; None is Google's own address."""
        from google.cloud import run_v2

        options = {"api_endpoint": endpoint} if endpoint else None
        return cls(
            run_v2.JobsClient(transport="rest", client_options=options),
            run_v2.ExecutionsClient(transport="rest", client_options=options),
            run_v2.TasksClient(transport="rest", client_options=options),
        )

    def execution(self, name: str, seconds: float) -> "run_v2.Execution | None":
        """None where there is none of that name."""
        from google.api_core.exceptions import NotFound

        try:
            return self._executions.get_execution(name=name, timeout=seconds)
        except NotFound:
            return None

    def executions_of(self, job: str, seconds: float) -> "Iterator[run_v2.Execution]":
        """Those of a job."""
        return iter(self._executions.list_executions(parent=job, timeout=seconds))

    def tasks(self, execution: str, seconds: float) -> "Iterator[run_v2.Task]":
        """Those of an execution."""
        return iter(self._tasks.list_tasks(parent=execution, timeout=seconds))

    def cancel(self, execution: str, seconds: float) -> bool:
        """Ask it to end; False where it has ended already, or is deleted."""
        from google.api_core.exceptions import Aborted, Conflict, FailedPrecondition, NotFound

        try:
            self._executions.cancel_execution(name=execution, timeout=seconds)
        except (NotFound, FailedPrecondition):
            return False
        except (Aborted, Conflict):  # it is being cancelled
            return True
        return True


def no_answer() -> tuple[type[Exception], ...]:
    """The errors of a service that is away, busy or unreachable: the same request may work later."""
    from google.api_core.exceptions import RetryError, ServerError, TooManyRequests
    from google.auth.exceptions import TransportError
    from requests.exceptions import RequestException

    return (ServerError, TooManyRequests, RetryError, TransportError, RequestException)


def refused() -> tuple[type[Exception], ...]:
    """The errors of a request that is wrong, or that this account may not make."""
    from google.api_core.exceptions import ClientError
    from google.auth.exceptions import GoogleAuthError

    return (ClientError, GoogleAuthError)


def executes(execution: "run_v2.Execution", run_id: str) -> bool:
    """Whether the execution was started for the run, whose id is in its arguments."""
    return any(run_id in argument for container in execution.template.containers for argument in container.args)


def state_of(execution: "run_v2.Execution", tasks: "Iterable[run_v2.Task]") -> WorkerState:
    """What an execution means for its run, which has not ended. `tasks` are those of a failed one."""
    if not execution.completion_time:
        return WorkerState(KIND, reason=None if execution.running_count else _waiting(execution))
    if execution.cancelled_count:
        return WorkerState(KIND, interrupted=True, reason=with_message("Cancelled", _message(execution)))
    if execution.succeeded_count:
        return WorkerState(KIND, reason="exit code 0")
    for task in tasks:
        attempt = task.last_attempt_result
        message = attempt.status.message or _message(execution)
        if "memory" in message.lower():
            return WorkerState(KIND, reason=with_message("OutOfMemory", message))
        if "timeout" in message.lower():
            return WorkerState(KIND, reason=with_message("Timeout", message))
        if attempt.term_signal in _SIGNALS or attempt.exit_code - 128 in _SIGNALS or not _ended_by_itself(attempt):
            return WorkerState(KIND, interrupted=True, reason=with_message("Ended by Cloud Run", message))
        what = f"exit code {attempt.exit_code}" if attempt.exit_code else f"signal {attempt.term_signal}"
        return WorkerState(KIND, reason=with_message(what, message))
    return WorkerState(KIND, reason=with_message("Failed", _message(execution)))


def _ended_by_itself(attempt: "run_v2.types.TaskAttemptResult") -> bool:
    """Whether the container ended by itself: with an exit code or a signal."""
    return bool(attempt.exit_code or attempt.term_signal)


def _message(execution: "run_v2.Execution") -> str:
    return next((condition.message for condition in execution.conditions if condition.type_ == "Completed"), "")


def _waiting(execution: "run_v2.Execution") -> str | None:
    """Why it has not begun, by the first condition that is not met and says why."""
    from google.cloud.run_v2.types import Condition

    waiting = [c for c in execution.conditions if c.state != Condition.State.CONDITION_SUCCEEDED and c.message]
    return next((with_message(c.type_, c.message) for c in waiting), None)
