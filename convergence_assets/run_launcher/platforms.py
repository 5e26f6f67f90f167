"""What the platform on which a deployment's runs are executed says of their workers."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from convergence_assets.control.workers import Worker
from convergence_assets.dagster_internals import run_launchers
from convergence_assets.run_launcher.cloud_run import CloudRunLauncher
from convergence_assets.run_launcher.worker_state import WorkerState

T = TypeVar("T")
_log = logging.getLogger(__name__)


def worker_state(instance: dg.DagsterInstance, run: dg.DagsterRun, worker: Worker | None = None) -> WorkerState | None:
    """The state of the run's worker on Kubernetes or Cloud Run; None under any other launcher, and for a `worker` that
    is a process elsewhere.

    Raises the errors of their clients.
    """
    launcher = instance.run_launcher
    if isinstance(launcher, CloudRunLauncher):
        return launcher.worker_state(run)
    if type(launcher).__module__.startswith("dagster_k8s."):
        from convergence_assets.run_launcher.kubernetes_pods import pod_state

        return pod_state(launcher, run, worker.owner.host if worker else None)
    return None


class Platform:
    """The platform in one pass over all runs. Once it has taken too long to answer, it is asked nothing more."""

    def __init__(self, instance: dg.DagsterInstance, seconds: float) -> None:
        self._instance = instance
        self._seconds_left = seconds

    def is_healthy(self, run: dg.DagsterRun) -> bool | None:
        """Whether the run launcher finds the run's worker healthy; None where that is unknown."""
        return self._within_its_time(lambda: run_launchers.worker_is_healthy(self._instance, run))

    def state(self, run: dg.DagsterRun, worker: Worker | None) -> WorkerState | None:
        """The state of the run's worker, of which `worker` is recorded; None where nothing is known of it."""
        try:
            return self._within_its_time(lambda: worker_state(self._instance, run, worker))
        except Exception:
            _log.exception("run %s: the state of its worker cannot be read", run.run_id)
            return None

    def _within_its_time(self, ask: Callable[[], T]) -> T | None:
        if self._seconds_left <= 0:
            return None
        began = time.monotonic()
        try:
            return ask()
        finally:
            self._seconds_left -= time.monotonic() - began
