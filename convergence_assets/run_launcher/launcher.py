"""The run launcher of one machine: forks warm workers, each of one tenant, tracks their processes and ends them.

Dagster's default launcher does not know whether a worker is alive, and ends it through the code server, which an
unresponsive worker then blocks for a minute (dagster 1.13).
"""

import contextlib
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg

from convergence_assets.dagster_internals import run_launchers, run_records
from convergence_assets.dagster_internals.run_launchers import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from convergence_assets.process import is_gone
from convergence_assets.run_launcher.forkserver_client import (
    PRELOADED,
    PRELOADED_FOR_BIGQUERY,
    Forkserver,
    NoForkserver,
    Work,
)
from convergence_assets.run_launcher.termination import Ended, end_in_background
from convergence_assets.settings import ONLY_TENANTS, Settings

if TYPE_CHECKING:
    from convergence_assets.control.workers import Worker, Workers

LOGS_KEPT_SECONDS = 7 * 24 * 3600
_DEBUG_LINES = 30


class WarmRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """`run_launcher: {module: convergence_assets.dagster_instance, class: WarmRunLauncher}` in dagster.yaml."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data)

    @cached_property
    def _settings(self) -> Settings:
        return Settings.from_env()

    @cached_property
    def _forkserver(self) -> Forkserver:
        more = PRELOADED_FOR_BIGQUERY if self._settings.warehouse == "bigquery" else ()
        return Forkserver(self._settings.home, (*PRELOADED, *more))

    @cached_property
    def _workers(self) -> "Workers":
        from convergence_assets.control.store import ControlStore
        from convergence_assets.control.workers import Workers

        return Workers(ControlStore.open(self._settings))

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's worker; raises `DagsterInvariantViolationError`, on which Dagster fails the run."""
        run = context.dagster_run
        env = dict(os.environ)
        # Where DAGSTER_HOME is not set, the control store is found by the settings' home: the worker has both.
        env["CONVERGENCE_HOME"] = str(self._settings.home)
        if tenants := tenants_of(run):
            env[ONLY_TENANTS] = ",".join(tenants)
        try:
            log = self._forkserver.folder / f"{run.run_id}.log"
            command = run_launchers.worker_command(self._instance, run)
            work = Work(command, env, os.getcwd(), log, _own_stdout())
            owner = self._forkserver.start(work, lambda owner: self._workers.record(run.run_id, owner))
        except NoForkserver as error:
            raise dg.DagsterInvariantViolationError(f"run {run.run_id} was not launched: {error}") from error
        self._forget_old_logs()
        run_records.log_to_run(self._instance, run, f"Worker forked ({owner}).")

    def terminate(self, run_id: str) -> bool:
        """Ask the worker to end, and kill it if it does not; returns at once, whether there was one.

        A worker on another host is ended by that host's launcher.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        run_records.run_is_canceling(self._instance, run)
        worker = self._workers.find(run_id)
        if worker is None:
            return False
        gone = is_gone(worker.owner)
        if gone is None:
            return self._workers.request_end(run_id)
        if gone:
            self._close(run_id, "gone")
            return False
        self._end(worker)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING also where no process is known: run state alone is no proof of its end."""
        worker = self._workers.find(run.run_id)
        if worker is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no process is known")
        gone = is_gone(worker.owner)
        if gone is False and worker.end_requested_at is not None:
            self._end(worker)
        if gone:
            return CheckRunHealthResult(WorkerStatus.FAILED, f"{worker.owner} has ended")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """The end of the worker's output, where it did not end successfully."""
        try:
            text = (self._forkserver.folder / f"{run.run_id}.log").read_text(errors="replace")
        except OSError:
            return None
        return "\n".join(text.splitlines()[-_DEBUG_LINES:])

    def _end(self, worker: "Worker") -> None:
        end_in_background(worker.owner, lambda ended: self._close(worker.run_id, ended))

    def _close(self, run_id: str, ended: Ended) -> None:
        """A worker that was killed could not report its run as over."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished and ended not in ("elsewhere", "alive"):
            run_records.run_was_canceled(self._instance, run, f"The run's worker has ended ({ended}).")

    def _forget_old_logs(self) -> None:
        with contextlib.suppress(OSError):
            for log in self._forkserver.folder.glob("*.log"):
                if log.name != "forkserver.log" and _is_old(log):
                    log.unlink()


def tenants_of(run: dg.DagsterRun) -> list[str]:
    """The tenants whose assets the run materialises; empty where they are unknown, and all have to be loaded."""
    keys = [*(run.asset_selection or ()), *(check.asset_key for check in run.asset_check_selection or ())]
    if not keys or any(len(key.path) != 3 for key in keys):
        return []
    return sorted({key.path[0] for key in keys})


def _own_stdout() -> int | None:
    """Where a run's log lines go, as with Dagster's own launcher; None where it is closed."""
    try:
        os.fstat(1)
    except OSError:
        return None
    return 1


def _is_old(log: Path) -> bool:
    return time.time() - log.stat().st_mtime > LOGS_KEPT_SECONDS
