"""The state of a run's pod in Kubernetes's own words, and what of it is no failure of the run."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from kubernetes import client as k8s

from convergence_assets.run_launcher.platforms import worker_state
from convergence_assets.run_launcher.worker_state import WorkerState

RUN = dg.DagsterRun("job", run_id="8b1b42fd-04ba-4f93-9d39-8a3c8a1fbe0a")


def pod(
    *,
    waiting: tuple[str, str] | None = None,
    terminated: tuple[str | None, int] | None = None,
    conditions: tuple[tuple[str, str, str, str], ...] = (),
    reason: str | None = None,
    deleted: bool = False,
) -> k8s.V1Pod:
    state = k8s.V1ContainerState(
        waiting=k8s.V1ContainerStateWaiting(reason=waiting[0], message=waiting[1]) if waiting else None,
        terminated=k8s.V1ContainerStateTerminated(reason=terminated[0], exit_code=terminated[1])
        if terminated
        else None,
    )
    container = k8s.V1ContainerStatus(
        name="dagster", image="here", image_id="", ready=False, restart_count=0, state=state
    )  # fmt: skip
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", deletion_timestamp=datetime.now(UTC) if deleted else None),
        status=k8s.V1PodStatus(
            reason=reason, container_statuses=[container] if waiting or terminated else None,
            conditions=[k8s.V1PodCondition(type=t, status=s, reason=r, message=m) for t, s, r, m in conditions],
        ),
    )  # fmt: skip


def state_of(pods: list[k8s.V1Pod], job: Any = None) -> WorkerState | None:
    """The state as the launcher's client answers it."""
    launcher = type("K8sRunLauncher", (), {"__module__": "dagster_k8s.launcher"})()
    launcher.get_container_context_for_run = lambda run: SimpleNamespace(namespace="convergence")
    launcher._api_client = SimpleNamespace(
        get_pods_in_job=lambda job_name, namespace: pods, get_job_status=lambda job_name, namespace: job
    )
    return worker_state(SimpleNamespace(run_launcher=launcher), RUN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pod(waiting=("ImagePullBackOff", "Back-off pulling image")), "ImagePullBackOff: Back-off pulling image"),
        (pod(waiting=("CreateContainerConfigError", "secret not found")), "CreateContainerConfigError: secret not found"),
        (pod(conditions=(("PodScheduled", "False", "Unschedulable", "0/3 nodes: insufficient memory"),)),
         "Unschedulable: 0/3 nodes: insufficient memory"),
        (pod(terminated=("OOMKilled", 137)), "OOMKilled"),
        (pod(terminated=("Error", 1)), "exit code 1"),
        (pod(terminated=("Completed", 0)), None),
        (pod(waiting=("ContainerCreating", "")), None),
    ],
)  # fmt: skip
def test_why_a_pod_does_not_run_is_said_in_kubernetes_words_and_is_no_interruption(
    seen: k8s.V1Pod, expected: str | None
) -> None:
    assert state_of([seen]) == WorkerState("pod", reason=expected)


@pytest.mark.parametrize(
    "seen",
    [
        pod(reason="Evicted"), pod(deleted=True), pod(terminated=("Error", 143)),
        pod(conditions=(("DisruptionTarget", "True", "PreemptionByScheduler", "preempted"),)),
    ],
    ids=["evicted", "deleted", "ended by SIGTERM", "preempted"],
)  # fmt: skip
def test_what_its_node_has_ended_is_an_interruption(seen: k8s.V1Pod) -> None:
    state = state_of([seen])
    assert state is not None
    assert state.interrupted
    assert not state.gone


def test_a_pod_without_memory_is_a_failure_though_it_was_disrupted() -> None:
    conditions = (("DisruptionTarget", "True", "x", "y"),)
    state = state_of([pod(terminated=("OOMKilled", 137), conditions=conditions)])
    assert state == WorkerState("pod", reason="OOMKilled")


def test_a_deleted_job_a_job_without_its_pod_and_one_that_waits_are_told_apart() -> None:
    assert state_of([]) == WorkerState("pod", interrupted=True, gone=True, reason="its Job was deleted")
    assert state_of([], k8s.V1JobStatus(failed=1)) == WorkerState("pod", interrupted=True, reason="its pod was deleted")
    assert state_of([], k8s.V1JobStatus()) == WorkerState("pod", reason="its Job has no pod yet")
    assert state_of([], k8s.V1JobStatus(active=1)) == WorkerState("pod")


def test_a_long_message_is_cut_and_another_launcher_has_no_pods() -> None:
    state = state_of([pod(waiting=("ErrImagePull", "x" * 1000))])
    assert state is not None
    assert len(state.reason or "") < 250
    assert worker_state(SimpleNamespace(run_launcher=object()), RUN) is None  # type: ignore[arg-type]
