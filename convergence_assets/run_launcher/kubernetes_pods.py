"""Why a run's pod on Kubernetes has ended, from the API."""

from typing import Any

import dagster as dg

# https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
_OF_ITS_NODE = frozenset({"Evicted", "Preempting", "Preempted", "Shutdown", "NodeShutdown", "NodeLost", "Terminated"})
_SIGTERM_EXIT_CODE = 143


def ended_by_its_node(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run's pod was deleted, evicted or preempted, which is no failure of the run; False under any other
    launcher, and where the API does not show it.

    Raises the errors of the Kubernetes client.
    """
    launcher: Any = instance.run_launcher
    if not type(launcher).__module__.startswith("dagster_k8s."):
        return False
    from dagster_k8s.job import get_job_name_from_run_id

    namespace = launcher.get_container_context_for_run(run).namespace
    job_name = get_job_name_from_run_id(run.run_id)  # type: ignore[no-untyped-call]
    client = launcher._api_client
    pods = client.get_pods_in_job(job_name, namespace)
    if pods:
        return any(_was_ended(pod) for pod in pods)
    # A Job whose pod is gone before its end counts it as failed.
    status = client.get_job_status(job_name, namespace)
    return bool(status is not None and status.failed)


def _was_ended(pod: Any) -> bool:
    states = [container.state.terminated for container in pod.status.container_statuses or () if container.state]
    if any(state.reason == "OOMKilled" for state in states if state):
        return False
    conditions = {c.type for c in pod.status.conditions or () if c.status == "True"}
    return (
        pod.metadata.deletion_timestamp is not None
        or pod.status.reason in _OF_ITS_NODE
        or "DisruptionTarget" in conditions
        or any(state.exit_code == _SIGTERM_EXIT_CODE for state in states if state)
    )
