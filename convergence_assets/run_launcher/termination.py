"""Ends a process that may not respond: two signals, then a kill; each with a deadline."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Literal

from convergence_assets.process import Owner, is_gone

SECONDS_TO_OBEY = {signal.SIGINT: 20.0, signal.SIGTERM: 10.0}
"""How long a process may take to end after each signal before the next one; a run cancels its queries meanwhile."""
_LOOK_EVERY_SECONDS = 0.1

Ended = Literal["gone", "interrupted", "terminated", "killed", "elsewhere", "alive"]
"""What ended it; `elsewhere`: it is on another host; `alive`: not even SIGKILL has so far."""


def end_process(owner: Owner, obey: dict[signal.Signals, float] | None = None) -> Ended:
    """SIGINT, then SIGTERM, then SIGKILL to its session; returns as soon as it has ended, within all deadlines.

    Raises `PermissionError` where the process is another user's.
    """
    gone = is_gone(owner)
    if gone is None:
        return "elsewhere"
    if gone:
        return "gone"
    names: dict[signal.Signals, Ended] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
    for sign, seconds in (obey or SECONDS_TO_OBEY).items():
        _send(owner, sign)
        if _wait(owner, seconds):
            return names[sign]
    _kill(owner)
    return "killed" if _wait(owner, 5.0) else "alive"


def end_in_background(owner: Owner, then: Callable[[Ended], None]) -> threading.Thread:
    """`end_process` in a thread that no shutdown waits for; the first signal is sent before this returns."""
    _send(owner, signal.SIGINT)

    def work() -> None:
        if _wait(owner, SECONDS_TO_OBEY[signal.SIGINT]):
            then("interrupted")
        else:
            then(end_process(owner, {signal.SIGTERM: SECONDS_TO_OBEY[signal.SIGTERM]}))

    thread = threading.Thread(target=work, name=f"ending process {owner.process}", daemon=True)
    thread.start()
    return thread


def _send(owner: Owner, sign: signal.Signals) -> None:
    """Send the signal to this very process: its id may belong to another one by now."""
    with contextlib.suppress(ProcessLookupError):
        if not hasattr(os, "pidfd_open"):
            os.kill(owner.process, sign)
            return
        handle = os.pidfd_open(owner.process)
        try:
            if not is_gone(owner):
                signal.pidfd_send_signal(handle, sign)
        finally:
            os.close(handle)


def _kill(owner: Owner) -> None:
    with contextlib.suppress(ProcessLookupError):
        # A worker leads its own session: what it started ends with it.
        if os.getsid(owner.process) == owner.process and not is_gone(owner):
            os.killpg(owner.process, signal.SIGKILL)
    _send(owner, signal.SIGKILL)


def _wait(owner: Owner, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_gone(owner):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_EVERY_SECONDS)
    return True
