"""What Kubernetes says of a run's pod: whether it waits, why it has ended, or that its Job is gone."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
_OF_ITS_NODE = frozenset({"Evicted", "Preempting", "Preempted", "Shutdown", "NodeShutdown", "NodeLost", "Terminated"})
_SIGTERM_EXIT_CODE = 143
_LONGEST_MESSAGE = 200


@dataclass(frozen=True)
class PodState:
    """The state of a run's pod. `interrupted`: it was deleted, evicted or preempted, which is no failure of the run.

    `gone`: neither its Job nor a pod of it exists. `reason` is Kubernetes's own (OOMKilled, Evicted, ImagePullBackOff,
    Unschedulable, ...) with its message, None where the pod runs, or has ended by itself.
    """

    interrupted: bool = False
    gone: bool = False
    reason: str | None = None


def pod_state(instance: dg.DagsterInstance, run: dg.DagsterRun) -> PodState | None:
    """The state of the run's pod; None under any other launcher than that of Kubernetes.

    Raises the errors of the Kubernetes client.
    """
    launcher: Any = instance.run_launcher
    if not type(launcher).__module__.startswith("dagster_k8s."):
        return None
    from dagster_k8s.job import get_job_name_from_run_id

    namespace = launcher.get_container_context_for_run(run).namespace
    job_name = get_job_name_from_run_id(run.run_id)  # type: ignore[no-untyped-call]
    client = launcher._api_client
    pods = client.get_pods_in_job(job_name, namespace)
    if pods:
        reason = next((reason for pod in pods if (reason := _reason(pod))), None)
        return PodState(interrupted=any(_was_ended(pod) for pod in pods), reason=reason)
    status = client.get_job_status(job_name, namespace)
    if status is None:
        return PodState(interrupted=True, gone=True, reason="its Job was deleted")
    # A Job whose pod is gone before its end counts it as failed.
    if status.failed:
        return PodState(interrupted=True, reason="its pod was deleted")
    return PodState(reason=None if status.active or status.succeeded else "its Job has no pod yet")


def _was_ended(pod: Any) -> bool:
    states = _terminated(pod)
    if any(state.reason == "OOMKilled" for state in states):
        return False
    conditions = {c.type for c in pod.status.conditions or () if c.status == "True"}
    return (
        pod.metadata.deletion_timestamp is not None
        or pod.status.reason in _OF_ITS_NODE
        or "DisruptionTarget" in conditions
        or any(state.exit_code == _SIGTERM_EXIT_CODE for state in states)
    )


def _terminated(pod: Any) -> list[Any]:
    containers = [container.state for container in pod.status.container_statuses or () if container.state]
    return [state.terminated for state in containers if state.terminated]


def _reason(pod: Any) -> str | None:
    """Why a pod does not run, the most telling one first."""
    for state in _terminated(pod):
        if state.reason not in (None, "Completed", "Error"):
            return _named(state.reason, state.message)
    if pod.status.reason:
        return _named(pod.status.reason, pod.status.message)
    for condition in pod.status.conditions or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return _named(condition.reason or "DisruptionTarget", condition.message)
    for container in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        waiting = container.state.waiting if container.state else None
        if waiting and waiting.reason not in (None, "PodInitializing", "ContainerCreating"):
            return _named(waiting.reason, waiting.message)
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return _named(condition.reason or "Unschedulable", condition.message)
    return next((f"exit code {state.exit_code}" for state in _terminated(pod) if state.exit_code), None)


def _named(reason: str, message: str | None) -> str:
    text = " ".join((message or "").split())
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[:_LONGEST_MESSAGE]}..."
    return f"{reason}: {text}" if text else reason
