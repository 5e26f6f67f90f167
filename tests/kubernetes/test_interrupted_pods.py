"""Pods that are deleted while a run is at work: interrupted and not failed, published afterwards, nothing twice."""

import os
import random
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest

from benchmarks.tenant_day import Launching, launching
from convergence_assets.control import publications
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.dagster_homes import copy_storage
from tests.kubernetes.kubernetes_api import KubernetesApi
from tests.monitoring.test_interrupted import FIRST, Interrupted

pytestmark = pytest.mark.live

DAYS = [FIRST + timedelta(days=n) for n in range(40)]
LAUNCHER = """
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    service_account_name: convergence
    instance_config_map: convergence
    dagster_home: {home}
    job_image: here
    load_incluster_config: false
    kubeconfig_file: {kubeconfig}
instance_class: {{module: convergence_assets.dagster_instance, class: Instance}}
storage: {{custom: {{module: convergence_assets.dagster_instance, class: SqliteStorage}}}}
run_monitoring: {{enabled: false}}
telemetry: {{enabled: false}}
"""
LONGEST_SECONDS = 12.0
"""Within so long a cold worker of this project does all of its work."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.at(tmp_path / "home")
    made.load_bills([row for day in DAYS for row in hourly(day, "Europe/Berlin", 1.0)])
    return made


@pytest.fixture
def environ(project: Project) -> dict[str, str]:
    home = project.settings.home
    return {
        "CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(TENANTS), "CONVERGENCE_WAREHOUSE": "embedded",
        "DAGSTER_HOME": str(home / "dagster"),
    }  # fmt: skip


@pytest.fixture
def api(tmp_path: Path, environ: dict[str, str]) -> Iterator[KubernetesApi]:
    (tmp_path / "pods").mkdir()
    found = KubernetesApi(tmp_path / "pods", clean_environment() | environ)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def platform(project: Project, api: KubernetesApi, environ: dict[str, str]) -> Iterator[Launching]:
    home = project.settings.home / "dagster"
    copy_storage(home)
    (home / "dagster.yaml").write_text(LAUNCHER.format(home=home, kubeconfig=api.kubeconfig()))
    with patch.dict(os.environ, environ), launching(project.settings.home) as found:
        yield found


class Pods:
    """Runs in pods that are deleted, and the sensors that see to them."""

    def __init__(self, project: Project, platform: Launching, api: KubernetesApi) -> None:
        self.api = api
        self.platform = platform
        self.known = Interrupted(project, platform)

    def deleted_after(self, seconds: float, day: date) -> dg.DagsterRun:
        """A run for a day whose pod is deleted so many seconds after its launch, seen to its end."""
        run = self.launched(day)
        name = self.api.pod_of(run.run_id)
        time.sleep(seconds)
        self.api.delete_pod(name)
        return self.seen_to_its_end(run)

    def launched(self, day: date) -> dg.DagsterRun:
        """As the daemon launches it."""
        run = self.platform.make("acme", "demo_costs", day, day)
        starting = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, run.job_name)
        self.known.instance.report_dagster_event(starting, run.run_id)
        self.platform.launch(run)
        return run

    def seen_to_its_end(self, run: dg.DagsterRun) -> dg.DagsterRun:
        deadline = time.monotonic() + 90
        while True:
            self.known.watching.remedy(self.known.instance, 20.0)
            found = self.known.instance.get_run_by_id(run.run_id)
            assert found is not None
            if found.is_finished:
                self.known.follow()
                return found
            assert time.monotonic() < deadline, f"{run.run_id} is {found.status}"
            time.sleep(0.2)

    def published(self, day: date) -> bool:
        with self.known.store.read() as connection:
            return len(publications.between(connection, "acme", ["lines", "totals"], day, day)) == 2


@pytest.fixture
def pods(project: Project, platform: Launching, api: KubernetesApi) -> Pods:
    return Pods(project, platform, api)


def is_interrupted_or_done(pods: Pods, seconds: float, day: date) -> str:
    run = pods.deleted_after(seconds, day)
    found = pods.known.indexed(run)
    if found.status == "succeeded":
        assert pods.published(day)
        return "published"
    assert (found.status, found.error_class) == ("canceled", "interrupted"), (seconds, found)
    if pods.published(day):  # all of its work was done, and nothing is to be done again
        assert day not in pods.known.due()
        return "interrupted"
    row = pods.known.due()[day]
    assert (row.state, row.attempts, row.interruptions) == ("due", 0, 1)
    again = pods.launched(day)
    assert pods.seen_to_its_end(again).status == dg.DagsterRunStatus.SUCCESS, (pods.api.folder, again.run_id)
    assert pods.published(day)
    return "interrupted"


@pytest.mark.timeout(300)
def test_a_pod_deleted_at_any_moment_is_interrupted_and_its_day_is_published_afterwards(
    pods: Pods, project: Project
) -> None:
    moments = [0.3, 2.0, random.uniform(3.0, 8.0)]  # before Dagster listens, while it imports, while the run is at work
    found = [is_interrupted_or_done(pods, seconds, DAYS[n]) for n, seconds in enumerate(moments)]
    assert found[:2] == ["interrupted", "interrupted"]
    assert pods.known.alerts() == []
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [len(moments)]


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_thirty_pods_deleted_at_random_moments_are_no_failures(pods: Pods, project: Project) -> None:
    drawn = random.Random(7)
    for number in range(30):
        is_interrupted_or_done(pods, drawn.uniform(0.0, LONGEST_SECONDS), DAYS[number])
    assert pods.known.alerts() == []
    assert [r["n"] for r in project.read("SELECT COUNT(*) AS n FROM acme.totals")] == [30]
