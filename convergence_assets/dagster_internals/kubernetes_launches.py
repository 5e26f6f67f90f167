"""Launching runs on Kubernetes while its API does not answer."""

from typing import Any

from convergence_assets.dagster_internals.patches import patch
from convergence_assets.dagster_internals.run_launchers import LaunchRunContext, launch_later, was_requeued

_CONFLICT, _TOO_MANY_REQUESTS = 409, 429


@patch("a run fails where the Kubernetes API does not answer for half a minute", upstream="none")
def wait_for_kubernetes() -> None:
    """Let `K8sRunLauncher` raise the error on which the daemon puts a run back into the queue.

    Its Job may have been made all the same; the next launch then finds it.
    """
    from dagster_k8s.client import DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError
    from dagster_k8s.launcher import K8sRunLauncher
    from urllib3.exceptions import HTTPError

    launch: Any = K8sRunLauncher.launch_run
    if launch.__module__ == __name__:
        return

    def launch_run(self: Any, context: LaunchRunContext) -> None:
        try:
            launch(self, context)
        except DagsterK8sUnrecoverableAPIError as error:
            status = error.k8s_api_exception.status
            if status == _CONFLICT and was_requeued(self._instance, context.dagster_run):
                return
            if status != _TOO_MANY_REQUESTS:
                raise
            raise launch_later(f"Kubernetes takes no more requests, the run waits in the queue: {error}") from error
        except (DagsterK8sAPIRetryLimitExceeded, HTTPError) as error:
            raise launch_later(f"Kubernetes does not answer, the run waits in the queue: {error}") from error

    K8sRunLauncher.launch_run = launch_run  # type: ignore[method-assign]
