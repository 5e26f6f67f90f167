"""Runs that Dagster's own queue launches on a platform, and the sensors that see to them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from benchmarks.tenant_day import Launching
from convergence_assets.control import incidents
from convergence_assets.control.location import control_url
from convergence_assets.control.store import ControlStore
from tests.monitoring.test_interrupted import Interrupted

QUEUE = """
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1, max_user_code_failure_retries: 20, user_code_failure_retry_delay: 30}
instance_class: {module: convergence_assets.dagster_instance, class: Instance}
storage: {custom: {module: convergence_assets.dagster_instance, class: SqliteStorage}}
run_monitoring: {enabled: false}
telemetry: {enabled: false}
"""
_RETRY_SECONDS = 31.0


@dataclass
class QueuedRuns:
    """`logs` is where workers log."""

    launching: Launching
    known: Interrupted
    logs: Path

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.launching.instance

    def queued(self, day: date) -> dg.DagsterRun:
        """A run in the queue."""
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tenants"), "__repository__")
        origin = RemoteJobOrigin(repository, "__ASSET_JOB")
        run = self.launching.make("acme", "demo_costs", day, day, remote_origin=origin)
        self.instance.report_dagster_event(dg.DagsterEvent.job_enqueue(run), run.run_id)
        return self.current(run)

    def starting(self, day: date) -> dg.DagsterRun:
        """A run that the daemon has taken out of the queue and not launched yet."""
        run = self.queued(day)
        starting = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, run.job_name)
        self.instance.report_dagster_event(starting, run.run_id)
        return self.current(run)

    def launched(self, day: date) -> dg.DagsterRun:
        run = self.starting(day)
        self.launching.launch(run)
        return self.current(run)

    def current(self, run: dg.DagsterRun) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found

    def seen_to_its_end(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """With the sensors at work."""

        def is_finished() -> bool:
            self.known.watching.remedy(self.instance, 20.0)
            return self.current(run).is_finished

        self.wait_for(is_finished)
        self.known.follow()
        return self.current(run)

    def wait_for(self, what: Callable[[], bool], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, [log.read_text()[-3000:] for log in self.logs.glob("*.log")]
            time.sleep(0.1)

    def remedy_later(self, later: timedelta) -> None:
        """The sensor stuck_runs, so much later."""
        store = ControlStore(control_url(self.known.project.settings, {}), lambda: datetime.now(UTC) + later)
        replace(self.known.watching, store=store).remedy(self.instance, 20.0)

    def alerts_of(self, run: dg.DagsterRun) -> list[str]:
        with self.known.store.read() as connection:
            return [i.happened for i in incidents.open_incidents(connection) if i.run_id == run.run_id]

    @contextmanager
    def queue(self) -> Iterator[Callable[[], None]]:
        """One look of the daemon at its queue, each later than it waits after a launch that did not work."""
        moment = 1_000_000_000.0
        daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
        with create_test_daemon_workspace_context(EmptyWorkspaceTarget(), self.instance) as workspace:

            def look() -> None:
                nonlocal moment
                moment += _RETRY_SECONDS
                list(daemon.run_iteration(workspace, fixed_iteration_time=moment))

            yield look
