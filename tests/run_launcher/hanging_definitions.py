"""The platform's own code location, with steps that misbehave as a file says: `<run's partition> <how>` a line.

What a test wants of a run cannot be had otherwise: the hang has to be in the worker's process.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from convergence_assets.assets import materialize, publish_guard
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.settings import Settings
from convergence_assets.warehouse.duckdb import engine
from convergence_assets.warehouse.interface import Job, Waits
from convergence_assets.warehouse.schema import Query

PLAN = "HANGING_PLAN"
ENDLESS = """
WITH n AS (SELECT d FROM UNNEST(GENERATE_DATE_ARRAY(DATE '0001-01-01', DATE '9000-01-01')) AS d)
SELECT COUNT(*) AS n FROM n AS a CROSS JOIN n AS b WHERE DATE_DIFF(a.d, b.d, DAY) = 99999999
"""
# A tenth of what is shipped, as the limits of the tests are.
publish_guard.SIGN_OF_LIFE_SECONDS = 5.0
engine.WAITS_EVERY_SECONDS = 2.0  # type: ignore[attr-defined]  # its own name for the interface's
_run = materialize.StepRun.run


def sleep(waits: Waits) -> None:
    time.sleep(3600)


def ask_without_end(waits: Waits) -> None:
    """A statement that the warehouse runs for ever, with its signs of life."""
    with open_warehouse(Settings.from_env(), waits=waits) as warehouse:
        warehouse.read(Query(ENDLESS), Job("endless"))


def swallow(waits: Waits) -> None:
    """Interrupts and terminations are caught and forgotten."""
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def hold_the_gil(waits: Waits) -> None:
    """One C call that lets no other Python code run, signal handlers and heartbeats included."""
    ctypes.PyDLL(None).sleep(3600)


def work_slowly(waits: Waits) -> None:
    """Healthy: quiet for a while, then on."""
    time.sleep(float(os.environ["HANGING_SLOW_SECONDS"]))


def work_while_it_is_planned(waits: Waits) -> None:
    """Healthy: at work until the plan says otherwise."""
    while "held" in Path(os.environ[PLAN]).read_text():
        waits("statement")
        time.sleep(1)


HOW: dict[str, Callable[[Waits], None]] = {
    "sleep": sleep,
    "swallow": swallow,
    "gil": hold_the_gil,
    "slow": work_slowly,
    "held": work_while_it_is_planned,
    "query": ask_without_end,
}


def _misbehave(
    self: materialize.StepRun, window: Window, run_id: str, origin: str | None, guard: publish_guard.PublishGuard
) -> materialize.Report:
    for line in Path(os.environ[PLAN]).read_text().splitlines():
        partition, how = line.split()
        if partition == str(window) and self.step.table == "lines":
            HOW[how](guard.report_wait)
    return _run(self, window, run_id, origin, guard)


materialize.StepRun.run = _misbehave  # type: ignore[method-assign,assignment]  # tasks give every argument


@dg.definitions
def defs() -> dg.Definitions:
    from convergence_assets import definitions  # one in the module's own names would be a second code location

    return definitions.defs()
