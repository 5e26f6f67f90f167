"""Pods of runs that do not start, are cancelled, or meet an API that is away: with Dagster's own launcher and queue."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import dagster as dg
import dagster_k8s.client
import pytest
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import get_job_name_from_run_id

from benchmarks.tenant_day import launching
from convergence_assets.api.cancellation import end_run
from convergence_assets.cli.diagnose import _lines
from convergence_assets.control.workers import Workers
from convergence_assets.dagster_internals.kubernetes_launches import wait_for_kubernetes
from convergence_assets.diagnostics.evidence import Gathering
from convergence_assets.process import this_process
from convergence_assets.tenancy.tenant import StuckLimits
from tests.assets.project import TENANTS, Project, hourly
from tests.clean_environment import clean_environment
from tests.dagster_homes import copy_storage
from tests.kubernetes.kubernetes_api import KubernetesApi
from tests.monitoring.test_interrupted import FIRST, Interrupted
from tests.run_launcher.queued_runs import QUEUE, QueuedRuns

pytestmark = pytest.mark.live

DAYS = [FIRST + timedelta(days=n) for n in range(8)]
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
"""
NO_IMAGE = ("ImagePullBackOff", "Back-off pulling image")


@dataclass
class Cluster(QueuedRuns):
    """`api` runs its pods."""

    project: Project
    api: KubernetesApi

    def job(self, run: dg.DagsterRun) -> str:
        return str(get_job_name_from_run_id(run.run_id))  # type: ignore[no-untyped-call]

    def diagnosed(self, run: dg.DagsterRun) -> list[str]:
        watching = self.known.watching
        gathering = Gathering(self.instance, self.known.store, self.project.settings, watching.registry)
        return _lines(gathering.of(run.run_id))


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    project = Project.at(folder / "home")
    project.load_bills([row for day in DAYS for row in hourly(day, "Europe/Berlin", 1.0)])
    home = project.settings.home / "dagster"
    environ = {
        "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(TENANTS),
        "CONVERGENCE_WAREHOUSE": "embedded", "DAGSTER_HOME": str(home),
    }  # fmt: skip
    (folder / "pods").mkdir()
    api = KubernetesApi(folder / "pods", clean_environment() | environ)
    api.start()
    copy_storage(home)
    (home / "dagster.yaml").write_text(LAUNCHER.format(home=home, kubeconfig=api.kubeconfig()) + QUEUE)
    # Half a minute passes at once while Dagster's client waits for the API.
    clock = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    unpatched = K8sRunLauncher.launch_run
    wait_for_kubernetes()
    try:
        with (
            patch.object(dagster_k8s.client, "time", clock),
            patch.dict(os.environ, environ),
            launching(project.settings.home) as found,
        ):
            yield Cluster(found, Interrupted(project, found), api.folder, project, api)
    finally:
        K8sRunLauncher.launch_run = unpatched  # type: ignore[method-assign]
        api.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("pods")) as found:
        yield found


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    shared.api.away, shared.api.loses_answers, shared.api.waiting = None, False, None
    return shared


@pytest.fixture
def tick(cluster: Cluster) -> Iterator[Callable[[], None]]:
    with cluster.queue() as look:
        yield look


def test_a_job_that_never_starts_is_deleted_and_everyone_is_told_why(cluster: Cluster) -> None:
    cluster.api.waiting = NO_IMAGE
    run = cluster.launched(DAYS[0])
    cluster.known.follow()
    assert "pod: ImagePullBackOff: Back-off pulling image" in cluster.diagnosed(run)
    cluster.remedy_later(timedelta(minutes=9))
    assert cluster.job(run) in cluster.api.jobs
    late = StuckLimits().starting + timedelta(minutes=1)
    cluster.remedy_later(late)
    assert cluster.job(run) not in cluster.api.jobs
    assert cluster.job(run) not in {pod.job for pod in cluster.api.pods.values()}
    cluster.remedy_later(late + timedelta(minutes=1))
    assert cluster.current(run).is_finished
    cluster.known.follow()
    reason = "starting (pod: ImagePullBackOff: Back-off pulling image)"
    assert cluster.known.indexed(run).stuck_reason == reason
    query = f"SELECT DISTINCT stuck_reason FROM acme.x_meta_pipeline_runs WHERE pipeline_run_id = '{run.run_id}'"
    assert cluster.project.read(query) == [{"stuck_reason": reason}]
    assert f"  stuck: {reason}" in cluster.diagnosed(run)
    assert any("its pod: ImagePullBackOff" in alert for alert in cluster.alerts_of(run))
    assert DAYS[0] in cluster.known.due()


def test_a_cancelled_run_leaves_no_job_and_is_no_failure(cluster: Cluster) -> None:
    run = cluster.launched(DAYS[1])
    assert end_run(cluster.instance, run.run_id) == ("canceling", "its process was asked to end")
    assert cluster.job(run) not in cluster.api.jobs
    cluster.wait_for(lambda: cluster.job(run) not in {pod.job for pod in list(cluster.api.pods.values())})
    cluster.remedy_later(timedelta(minutes=2))  # it was ended before it listened
    cluster.known.follow()
    assert cluster.current(run).status == dg.DagsterRunStatus.CANCELED
    assert all("was asked to end" in alert for alert in cluster.alerts_of(run))
    assert DAYS[1] not in cluster.known.due()


def test_while_the_api_is_away_runs_wait_in_the_queue_and_those_at_work_go_on(
    cluster: Cluster, tick: Callable[[], None]
) -> None:
    at_work = cluster.launched(DAYS[2])
    waiting = cluster.queued(DAYS[3])
    for status in (0, 503, 429):
        cluster.api.away = status
        tick()
        cluster.remedy_later(timedelta(0))
        assert cluster.current(waiting).status == dg.DagsterRunStatus.QUEUED
    assert cluster.seen_to_its_end(at_work).status == dg.DagsterRunStatus.SUCCESS
    cluster.api.away = None
    tick()
    assert cluster.seen_to_its_end(waiting).status == dg.DagsterRunStatus.SUCCESS
    assert cluster.known.indexed(waiting).attempt == 1
    assert cluster.alerts_of(waiting) == cluster.alerts_of(at_work) == []


def test_a_job_whose_answer_was_lost_is_made_once(cluster: Cluster, tick: Callable[[], None]) -> None:
    cluster.api.loses_answers = True
    run = cluster.queued(DAYS[4])
    tick()
    assert cluster.seen_to_its_end(run).status == dg.DagsterRunStatus.SUCCESS
    assert [pod.job for pod in cluster.api.pods.values()].count(cluster.job(run)) == 1


def test_a_job_that_was_made_before_the_api_went_away_is_found_again(
    cluster: Cluster, tick: Callable[[], None]
) -> None:
    cluster.api.waiting = NO_IMAGE
    run = cluster.queued(DAYS[5])
    cluster.api.away = 0
    tick()
    cluster.api.away = None
    cluster.launching.launch(cluster.current(run))  # it was made after all
    tick()
    assert cluster.current(run).status == dg.DagsterRunStatus.STARTING


def test_a_worker_that_begins_while_its_run_waits_for_another_launch_is_no_failure(
    cluster: Cluster, tick: Callable[[], None]
) -> None:
    run = cluster.queued(DAYS[6])
    cluster.api.away = 0
    tick()
    cluster.api.away = None
    cluster.launching.launch(cluster.current(run))  # the Job was made after all, and its worker begins now
    assert cluster.seen_to_its_end(run).tags["dagster/failure_reason"] == "RUN_WORKER_RESTART"
    assert (cluster.known.indexed(run).status, cluster.known.indexed(run).error_class) == ("canceled", "interrupted")
    row = cluster.known.due()[DAYS[6]]
    assert (row.state, row.attempts, row.interruptions) == ("due", 0, 1)
    assert cluster.alerts_of(run) == []


def test_a_run_in_a_process_beside_the_cluster_has_no_job_and_is_not_interrupted(cluster: Cluster) -> None:
    run = cluster.starting(DAYS[7])
    started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
    cluster.instance.report_dagster_event(started, run.run_id)
    workers = Workers(cluster.known.store)
    elsewhere = replace(this_process(), host="a-laptop")
    workers.record(run.run_id, elsewhere)
    cluster.remedy_later(timedelta(minutes=5))
    assert cluster.current(run).status == dg.DagsterRunStatus.STARTED
    assert not any("its Job was deleted" in line for line in cluster.diagnosed(run))
    workers.record(run.run_id, replace(elsewhere, host=f"{cluster.job(run)}-x7k2p"))
    cluster.remedy_later(timedelta(minutes=5))
    assert cluster.current(run).tags["dagster/failure_reason"] == "UNEXPECTED_TERMINATION"
