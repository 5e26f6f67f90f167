"""Restarts processes that end by themselves, with growing waits, and gives up where they keep ending."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

WAITS_SECONDS = (1, 2, 4, 8, 15, 30)
"""The waits before a process is restarted, by how often it ended in a row."""
STEADY_SECONDS = 30.0
"""A process that lived this long restarts with the first wait."""
GIVEN_UP_AFTER = 10
"""The limit of ends in a row, none after living for `STEADY_SECONDS`: about four minutes."""
LOOKS_EVERY_SECONDS = 0.2
_CHILD_LOST_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_libc = ctypes.CDLL(None)

Show = Callable[[str, Iterable[str]], None]
"""Shows a process's lines, by its name, until there are no more."""


@dataclass
class Supervised:
    """One process, the leader of a session of its own.

    `stopped_by` is the signal that ends it; `child` are words of the command line of a child without which it does
    nothing; its first start waits for `may_start`.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    stopped_by: signal.Signals = signal.SIGTERM
    child: str | None = None
    may_start: Callable[[], bool] = lambda: True
    process: "subprocess.Popen[str] | None" = None
    _started_at: float = 0.0
    _start_at: float = 0.0
    _ends: int = 0
    _child_seen_at: float | None = None


@dataclass
class Supervisor:
    """Keeps processes running until it is stopped; `say` reports to people, `show` shows their lines."""

    parts: Sequence[Supervised]
    say: Callable[[str], None]
    show: Show
    now: Callable[[], float] = field(default=time.monotonic)

    def start(self, part: Supervised) -> None:
        """Start one that is not running."""
        part.process = subprocess.Popen(
            part.command, env=dict(part.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, start_new_session=True, preexec_fn=_as_a_child,
        )  # fmt: skip
        part._started_at, part._child_seen_at = self.now(), None
        assert part.process.stdout is not None
        threading.Thread(target=self.show, args=(part.name, part.process.stdout), daemon=True).start()

    def watch(self, stop: threading.Event) -> str | None:
        """Restart what ends until `stop` is set: None; or until one keeps ending: which, and why."""
        while not stop.wait(LOOKS_EVERY_SECONDS):
            for part in self.parts:
                if part.process is None:
                    if self.now() >= part._start_at and (part._ends or part.may_start()):
                        self.start(part)
                elif (why := self._why_ended(part)) and (given_up := self._ended(part, why)):
                    return given_up
        return None

    def family(self) -> list[psutil.Process]:
        """Every process and its children."""
        return [one for part in self.parts if part.process for one in _family(part.process.pid)]

    def _why_ended(self, part: Supervised) -> str | None:
        assert part.process is not None
        code = part.process.poll()
        if code is not None:
            return f"ended by itself ({_spelled(code)})"
        if part.child is None:
            return None
        if _has_child(part.process.pid, part.child):
            part._child_seen_at = self.now()
        elif part._child_seen_at is not None and self.now() - part._child_seen_at > _CHILD_LOST_SECONDS:
            return f"lost its process `{part.child}`, which was killed or ran out of memory"
        return None

    def _ended(self, part: Supervised, why: str) -> str | None:
        """The reason where it is given up."""
        assert part.process is not None
        part._ends = 1 if self.now() - part._started_at >= STEADY_SECONDS else part._ends + 1
        for left in _family(part.process.pid) if part.process.poll() is None else ():
            with suppress(psutil.NoSuchProcess):
                left.kill()
        part.process.wait()
        part.process = None
        if part._ends > GIVEN_UP_AFTER:
            return f"{part.name} {why}, {part._ends} times in a row: it is given up"
        seconds = WAITS_SECONDS[min(part._ends, len(WAITS_SECONDS)) - 1]
        part._start_at = self.now() + seconds
        again = f" for the {part._ends}th time in a row" if part._ends > 3 else ""
        self.say(f"{part.name} {why}{again}; it is started again in {seconds} s")
        return None


def _family(process: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process)
        return [parent, *parent.children(recursive=True)]
    return []


def _has_child(process: int, words: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process).children():
            with suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE and words in " ".join(child.cmdline()):
                    return True
    return False


def _spelled(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _as_a_child() -> None:
    # Where this command itself ignores them (a shell's background job), its children would too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":  # killing the supervisor ends its processes too, so that their ports are free
        parent = os.getppid()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
