"""A project whose runs are executions of a Cloud Run job, as the daemon launches them."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from benchmarks.tenant_day import Launching, launching
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.cloud_run.cloud_run_api import PROJECT, REGION, CloudRunApi
from tests.dagster_homes import copy_storage
from tests.monitoring.test_interrupted import FIRST, Interrupted

DAYS = [FIRST + timedelta(days=n) for n in range(10)]
DAGSTER_YAML = """
run_launcher:
  module: convergence_assets.dagster_instance
  class: CloudRunLauncher
  config: {{project: {project}, region: {region}, endpoint: "http://{address}"}}
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {{dequeue_interval_seconds: 1, max_user_code_failure_retries: 20, user_code_failure_retry_delay: 30}}
instance_class: {{module: convergence_assets.dagster_instance, class: Instance}}
storage: {{custom: {{module: convergence_assets.dagster_instance, class: SqliteStorage}}}}
run_monitoring: {{enabled: false}}
telemetry: {{enabled: false}}
"""


@dataclass
class CloudRunPlatform:
    """The project, the API that executes its runs, and the sensors that see to them."""

    project: Project
    launching: Launching
    api: CloudRunApi
    known: Interrupted

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

    def launched(self, day: date) -> dg.DagsterRun:
        """As the daemon launches it."""
        run = self.queued(day)
        starting = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, run.job_name)
        self.instance.report_dagster_event(starting, run.run_id)
        self.launching.launch(self.current(run))
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

    def wait_for(self, what: Callable[[], object], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, [log.read_text()[-3000:] for log in self.api.folder.glob("*.log")]
            time.sleep(0.1)


@contextmanager
def cloud_run(folder: Path) -> Iterator[CloudRunPlatform]:
    """`folder` gets the project's home and the executions' logs."""
    project = Project.at(folder / "home")
    project.load_bills([row for day in DAYS for row in hourly(day, "Europe/Berlin", 1.0)])
    home = project.settings.home
    environ = {
        "CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS), "CONVERGENCE_WAREHOUSE": "embedded",
        "DAGSTER_HOME": str(home / "dagster"),
    }  # fmt: skip
    (folder / "executions").mkdir()
    api = CloudRunApi(folder / "executions", clean_environment() | environ)
    api.start()
    copy_storage(home / "dagster")
    text = DAGSTER_YAML.format(project=PROJECT, region=REGION, address=api.address)
    (home / "dagster" / "dagster.yaml").write_text(text)
    # The launcher's account, as in a container of Cloud Run.
    account = {"GCE_METADATA_HOST": api.address, "GCE_METADATA_IP": api.address, "GOOGLE_CLOUD_PROJECT": PROJECT}
    try:
        with patch.dict(os.environ, environ | account), launching(home) as found:
            yield CloudRunPlatform(project, found, api, Interrupted(project, found))
    finally:
        api.stop()
