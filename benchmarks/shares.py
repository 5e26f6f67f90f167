"""Where a warm worker's CPU time goes: Dagster, Great Expectations, SQL.

`shares_of` has a run's worker forked as the launcher's forkserver would, with a clock around what belongs to somebody
else. A clock counts the CPU time of its own thread without that of the clocks within it; a statement's thread is
DuckDB's own, since a worker's connection has one. What no clock counts is Dagster's: its loop, its events and storage.

Run as a file, this is that process: `python shares.py FORKSERVER CODE PRELOADED ARGV`, the last two as JSON.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.tenant_day import Launching

SHARES = {
    "dagster": "Dagster: run, events, storage",
    "loading": "loading tenants and definitions",
    "gx": "Great Expectations",
    "sql": "SQL: statements in DuckDB",
    "transpiling": "SQL: from BigQuery's",
    "frames": "frames for Great Expectations",
    "own": "the rest of Convergence",
}


def shares_of(platform: "Launching", tenant: str, pipeline: str, day: date) -> dict[str, float]:
    """CPU seconds of a run's worker by share; raises unless the run succeeded."""
    from benchmarks.measuring import measured
    from convergence_assets.dagster_internals.run_launchers import worker_command
    from convergence_assets.run_launcher import forkserver_client

    run = platform.make(tenant, pipeline, day, day)
    argv = worker_command(platform.instance, run)
    preload = [
        str(forkserver_client.FORKSERVER),
        str(forkserver_client.CODE.parent),
        json.dumps(forkserver_client.PRELOADED),
    ]
    command = [sys.executable, __file__, *preload, json.dumps(argv)]
    env = os.environ | {"CONVERGENCE_ONLY_TENANTS": tenant, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = measured(command, env)
    finished = platform.instance.get_run_by_id(run.run_id)
    assert finished is not None
    assert finished.is_success, f"the run of {day} failed"
    found = json.loads(ran.output.splitlines()[-1])
    return {label: found[share] for share, label in SHARES.items()}


class _Clocks:
    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._within: list[float] = []

    def around(self, owner: Any, name: str, share: str) -> None:
        """Count the thread's CPU time within `owner.name`, less that of clocks inside it."""
        setattr(owner, name, self.counting(getattr(owner, name), share))

    def counting(self, function: Callable[..., Any], share: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            self._within.append(0.0)
            try:
                return function(*given, **named)
            finally:
                passed = time.thread_time() - began
                self.spent[share] += passed - self._within.pop()
                if self._within:
                    self._within[-1] += passed

        return counted

    def on_a_thread_of_its_own(self, engine: Any) -> None:
        """Statements run in the engine's thread, which nothing else counts."""
        interruptible = engine._interruptible

        def counted(this: Any, work: Callable[[], Any], *given: Any) -> Any:
            def timed() -> Any:
                began = time.thread_time()
                try:
                    return work()
                finally:
                    self.spent["sql"] += time.thread_time() - began

            return interruptible(this, timed, *given)

        engine._interruptible = counted


def _work(argv: list[str]) -> None:
    started, clocks = time.process_time(), _Clocks()
    load = importlib.import_module
    clocks.counting(load, "loading")("convergence_assets.definitions")
    materialize = load("convergence_assets.assets.materialize")
    adapter, engine = load("convergence_assets.warehouse.duckdb.adapter"), load("convergence_assets.quality.engine")
    frames = load("convergence_assets.warehouse.frames")
    reconstruct = load("dagster._core.definitions.reconstruct")
    clocks.around(reconstruct.ReconstructableRepository, "get_definition", "loading")
    publish_guard = load("convergence_assets.assets.publish_guard")
    lock_session = load("convergence_assets.control.lock_session")
    publications = load("convergence_assets.control.publications")
    for owner, names in (
        (publish_guard, ("_record_start", "_begin_request")),
        (publications.Publications, ("record", "newest_version")),
    ):
        for name in names:
            clocks.around(owner, name, "own")
    clocks.around(lock_session.LockSession, "hold_lock", "own")
    clocks.around(materialize.StepRun, "run", "own")
    clocks.around(adapter.Engine, "__init__", "sql")
    for name in ("prepared", "table_names"):
        clocks.around(adapter, name, "transpiling")
    clocks.around(materialize, "resolve_tables", "transpiling")
    for name in ("run", "build"):
        clocks.around(engine, name, "gx")
    clocks.around(frames, "frame_from_arrow", "frames")
    clocks.on_a_thread_of_its_own(adapter.Engine)
    sys.argv = argv
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
    spent = {share: clocks.spent[share] for share in SHARES}
    spent["dagster"] = time.process_time() - started - sum(spent.values())
    os.write(1, b"\n" + json.dumps(spent).encode() + b"\n")


if __name__ == "__main__":
    forkserver = runpy.run_path(sys.argv[1], run_name="forkserver")
    forkserver["preload"](sys.argv[2], json.loads(sys.argv[3]))
    process = os.fork()
    if process == 0:
        gc.set_threshold(*forkserver["WORKERS_COLLECT_AFTER"])
        gc.enable()
        _work(json.loads(sys.argv[4]))
        os._exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
