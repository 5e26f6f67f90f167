"""What the platform on which a deployment's runs are executed says of a run's worker."""

import dagster as dg

from convergence_assets.run_launcher.cloud_run import CloudRunLauncher
from convergence_assets.run_launcher.worker_state import WorkerState


def worker_state(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerState | None:
    """The state of the run's worker on Kubernetes or Cloud Run; None under any other launcher.

    Raises the errors of their clients.
    """
    launcher = instance.run_launcher
    if isinstance(launcher, CloudRunLauncher):
        return launcher.worker_state(run)
    if type(launcher).__module__.startswith("dagster_k8s."):
        from convergence_assets.run_launcher.kubernetes_pods import pod_state

        return pod_state(launcher, run)
    return None
