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

from convergence_assets.assets import materialize

PLAN = "HANGING_PLAN"
_run = materialize.StepRun.run


def sleep() -> None:
    time.sleep(3600)


def swallow() -> None:
    """Interrupts and terminations are caught and forgotten."""
    while True:
        try:
            time.sleep(3600)
        except BaseException:  # noqa: PERF203 - that is the fault
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def hold_the_gil() -> None:
    """One C call that lets no other Python code run, signal handlers and heartbeats included."""
    ctypes.PyDLL(None).sleep(3600)


def work_slowly() -> None:
    """Healthy: quiet for a while, then on."""
    time.sleep(float(os.environ["HANGING_SLOW_SECONDS"]))


HOW: dict[str, Callable[[], None]] = {
    "sleep": sleep,
    "swallow": swallow,
    "gil": hold_the_gil,
    "slow": work_slowly,
    "fail": lambda: (_ for _ in ()).throw(ZeroDivisionError("a fault of the test")),
}


def _misbehave(self: materialize.StepRun, window: object, *rest: object, **more: object) -> materialize.Report:
    for line in Path(os.environ[PLAN]).read_text().splitlines():
        partition, how = line.split()
        if partition == str(window) and self.step.table == "lines":
            HOW[how]()
    return _run(self, window, *rest, **more)


materialize.StepRun.run = _misbehave


@dg.definitions
def defs() -> dg.Definitions:
    from convergence_assets import definitions  # one in the module's own names would be a second code location

    return definitions.defs()
