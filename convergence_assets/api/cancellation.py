"""Ending a run: take it out of the queue, or ask its process to end, without waiting for long."""

import logging
from threading import Thread

import dagster as dg

from convergence_assets.dagster_internals import run_records

LAUNCHER_SECONDS = 10.0
"""How long to wait for a launcher: Dagster's own one asks the code server, and may take a minute."""
_QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_log = logging.getLogger(__name__)


def end_run(instance: dg.DagsterInstance, run_id: str) -> tuple[str, str] | None:
    """End a run and return its status and what was done; None where it is over already, or deleted."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return None
    if run.status in _QUEUED:
        run_records.cancel_queued(instance, run)
        return _status(instance, run_id), "taken out of the queue"
    answer: list[bool] = []
    termination = Thread(target=_terminate, args=(instance, run_id, answer), name=f"ending run {run_id}", daemon=True)
    termination.start()
    termination.join(LAUNCHER_SECONDS)
    if answer == [True]:
        return _status(instance, run_id), "its process was asked to end"
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished and run.status != dg.DagsterRunStatus.CANCELING:
        # From then on the remedy of stuck runs sees to its end.
        run_records.run_is_canceling(instance, run)
    if termination.is_alive():
        return _status(instance, run_id), "its launcher was asked and has not answered yet"
    return _status(instance, run_id), "marked as to be ended; no process of it could be asked"


def _terminate(instance: dg.DagsterInstance, run_id: str, answer: list[bool]) -> None:
    try:
        answer.append(bool(instance.run_launcher.terminate(run_id)))
    except Exception as error:
        _log.warning("run %s: its launcher could not end it: %s", run_id, error)
        answer.append(False)


def _status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    return run.status.value.lower() if run else "deleted"
