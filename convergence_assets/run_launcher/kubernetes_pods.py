"""What Kubernetes says of a run's pod: whether it waits, why it has ended, or that its Job is gone."""

from typing import Any

import dagster as dg

from convergence_assets.run_launcher.worker_state import WorkerState, with_message

# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
_OF_ITS_NODE = frozenset({"Evicted", "Preempting", "Preempted", "Shutdown", "NodeShutdown", "NodeLost", "Terminated"})
_SIGTERM_EXIT_CODE = 143
KIND = "pod"


def pod_state(launcher: Any, run: dg.DagsterRun, host: str | None = None) -> WorkerState | None:
    """The state of the run's pod, of a `K8sRunLauncher`; raises the errors of the Kubernetes client.

    It is interrupted where it was deleted, evicted or preempted, and gone where neither its Job nor a pod of it exists.
    `host` is that of the process which is known to execute the run. None where that is no pod: a run that a person
    executes elsewhere on the shared store has no Job.
    """
    from dagster_k8s.job import get_job_name_from_run_id

    namespace = launcher.get_container_context_for_run(run).namespace
    job_name = get_job_name_from_run_id(run.run_id)  # type: ignore[no-untyped-call]
    client = launcher._api_client
    pods = client.get_pods_in_job(job_name, namespace)
    if pods:
        reason = next((reason for pod in pods if (reason := _reason(pod))), None)
        return WorkerState(KIND, interrupted=any(_was_ended(pod) for pod in pods), reason=reason)
    status = client.get_job_status(job_name, namespace)
    if status is None:
        # A pod's host is its name, which begins with its Job's.
        if host is not None and not host.startswith(job_name):
            return None
        return WorkerState(KIND, interrupted=True, gone=True, reason="its Job was deleted")
    # A Job whose pod is gone before its end counts it as failed.
    if status.failed:
        return WorkerState(KIND, interrupted=True, reason="its pod was deleted")
    return WorkerState(KIND, reason=None if status.active or status.succeeded else "its Job has no pod yet")


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
            return with_message(state.reason, state.message)
    if pod.status.reason:
        return with_message(pod.status.reason, pod.status.message)
    for condition in pod.status.conditions or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return with_message(condition.reason or "DisruptionTarget", condition.message)
    for container in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        waiting = container.state.waiting if container.state else None
        if waiting and waiting.reason not in (None, "PodInitializing", "ContainerCreating"):
            return with_message(waiting.reason, waiting.message)
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return with_message(condition.reason or "Unschedulable", condition.message)
    return next((f"exit code {state.exit_code}" for state in _terminated(pod) if state.exit_code), None)
