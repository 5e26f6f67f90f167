"""A project whose runs are executions of a Cloud Run job."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from benchmarks.tenant_day import launching
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.cloud_run.cloud_run_api import PROJECT, REGION, CloudRunApi
from tests.dagster_homes import copy_storage
from tests.monitoring.test_interrupted import FIRST, Interrupted
from tests.run_launcher.queued_runs import QUEUE, QueuedRuns

DAYS = [FIRST + timedelta(days=n) for n in range(11)]
LAUNCHER = """
run_launcher:
  module: convergence_assets.dagster_instance
  class: CloudRunLauncher
  config: {{project: {project}, region: {region}, endpoint: "http://{address}"}}
"""


@dataclass
class CloudRunPlatform(QueuedRuns):
    """`api` executes its runs."""

    api: CloudRunApi


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
    launcher = LAUNCHER.format(project=PROJECT, region=REGION, address=api.address)
    (home / "dagster" / "dagster.yaml").write_text(launcher + QUEUE)
    # The launcher's account, as in a container of Cloud Run.
    account = {"GCE_METADATA_HOST": api.address, "GCE_METADATA_IP": api.address, "GOOGLE_CLOUD_PROJECT": PROJECT}
    try:
        with patch.dict(os.environ, environ | account), launching(home) as found:
            yield CloudRunPlatform(found, Interrupted(project, found), api.folder, api)
    finally:
        api.stop()
