"""The run launcher of Cloud Run: an execution of one job for each run, which loads the run's tenant alone."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import dagster as dg

from convergence_assets.dagster_internals import run_launchers, run_records
from convergence_assets.dagster_internals.run_launchers import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from convergence_assets.run_launcher import cloud_run_executions as executions
from convergence_assets.run_launcher.launcher import tenants_of
from convergence_assets.run_launcher.worker_state import WorkerState
from convergence_assets.settings import ONLY_TENANTS

if TYPE_CHECKING:
    from google.cloud import run_v2

EXECUTION_TAG = "convergence/cloud_run_execution"
"""The run's tag with its id and the name of its execution, `projects/P/locations/R/jobs/J/executions/E`: a run that
repeats another one has the other's tags."""
ANSWER_SECONDS = 20.0
LOOKED_THROUGH = 500
"""How many of the job's executions are looked through for that of a run without the tag."""
_log = logging.getLogger(__name__)


class CloudRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """`run_launcher: {module: convergence_assets.dagster_instance, class: CloudRunLauncher}` in dagster.yaml."""

    def __init__(
        self, project: str, region: str, job: str, endpoint: str | None, inst_data: ConfigurableClassData | None = None
    ) -> None:
        self._inst_data = inst_data
        self._job = f"projects/{project}/locations/{region}/jobs/{job}"
        self._endpoint = endpoint
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        return {
            "project": dg.Field(dg.StringSource, description="the project of the job"),
            "region": dg.Field(dg.StringSource, description="the region of the job"),
            "job": dg.Field(
                dg.StringSource, default_value="convergence-run", description="the job that executes runs, by name"
            ),
            "endpoint": dg.Field(
                dg.Noneable(dg.StringSource), default_value=None, description="another address of Cloud Run's API"
            ),
        }

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data, **config_value)

    @cached_property
    def _clients(self) -> executions.Clients:
        return executions.Clients.at(self._endpoint)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start an execution for the run.

        Raises an error on which the queue takes the run back where Cloud Run does not answer, and
        `DagsterInvariantViolationError` where it refuses.
        """
        run = context.dagster_run
        name: str | None = None
        try:
            if run_launchers.was_requeued(self._instance, run):
                name = self._known(run)
            name = name or self._start(run)
        except executions.no_answer() as error:
            with suppress(*executions.no_answer()):
                name = self._known(run)  # it may have taken the request all the same
            if name is None:
                message = f"Cloud Run does not answer, the run waits in the queue: {error}"
                raise run_launchers.launch_later(message) from error
        except executions.refused() as error:
            raise dg.DagsterInvariantViolationError(
                f"run {run.run_id} was not launched: Cloud Run refuses to execute {self._job}: {error}"
            ) from error
        run_records.add_run_tags(self._instance, run.run_id, {EXECUTION_TAG: f"{run.run_id} {name}"})
        run_records.log_to_run(self._instance, run, f"Execution started ({name.rpartition('/')[2]}).")

    def _start(self, run: dg.DagsterRun) -> str:
        from google.cloud import run_v2

        overrides = run_v2.RunJobRequest.Overrides
        only = [run_v2.EnvVar(name=ONLY_TENANTS, value=",".join(tenants))] if (tenants := tenants_of(run)) else []
        container = overrides.ContainerOverride(args=run_launchers.worker_command(self._instance, run), env=only)
        request = run_v2.RunJobRequest(name=self._job, overrides=overrides(container_overrides=[container]))
        operation = self._clients.jobs.run_job(request, timeout=ANSWER_SECONDS)
        return str(operation.metadata.name)

    def terminate(self, run_id: str) -> bool:
        """Cancel the run's execution: its worker gets SIGTERM and has ten seconds. Returns whether there was one.

        Raises the errors of Cloud Run where it does not answer.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        run_records.run_is_canceling(self._instance, run)
        name = self._known(run)
        if name is None:
            return False
        if self._clients.cancel(name, ANSWER_SECONDS):
            return True
        if (current := self._unfinished(run)) is not None:
            run_records.run_was_canceled(self._instance, current, "The run's execution had ended.")
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """UNKNOWN where Cloud Run does not answer, or knows no execution of the run."""
        try:
            name = self._known(run)
            execution = self._clients.execution(name, ANSWER_SECONDS) if name else None
        except (*executions.no_answer(), *executions.refused()) as error:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"Cloud Run: {error}", transient=True)
        if execution is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "no execution is known")
        if not execution.completion_time:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        # A worker writes the end of its run before it ends.
        if self._unfinished(run) is None:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"the execution {execution.name} has ended")

    def worker_state(self, run: dg.DagsterRun) -> WorkerState:
        """What Cloud Run says of the run's execution; raises its errors where it does not answer."""
        name = self._known(run)
        if name is None:
            # A launch that was cut off; a run that has begun has an execution, known or not.
            gone = run.status == dg.DagsterRunStatus.STARTING
            return WorkerState(executions.KIND, gone, gone, "Cloud Run has none of this run")
        execution = self._clients.execution(name, ANSWER_SECONDS)
        if execution is None:
            return WorkerState(executions.KIND, True, True, "it was deleted")
        return executions.state_of(execution, self._tasks(execution))

    def _tasks(self, execution: "run_v2.Execution") -> "Iterator[run_v2.Task]":
        """Its tasks, where they can tell why it failed."""
        return self._clients.tasks(execution.name, ANSWER_SECONDS) if execution.failed_count else iter(())

    def _known(self, run: dg.DagsterRun) -> str | None:
        """The name of the run's execution; where its tag was not written, it is looked for by the run's id."""
        current = self._instance.get_run_by_id(run.run_id) or run
        run_id, _, name = current.tags.get(EXECUTION_TAG, "").partition(" ")
        if name and run_id == run.run_id:
            return name
        listed = islice(self._clients.executions_of(self._job, ANSWER_SECONDS), LOOKED_THROUGH)
        return next((found.name for found in listed if executions.executes(found, run.run_id)), None)

    def _unfinished(self, run: dg.DagsterRun) -> dg.DagsterRun | None:
        current = self._instance.get_run_by_id(run.run_id)
        return None if current is None or current.is_finished else current
