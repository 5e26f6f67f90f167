"""Identifies a process by host, boot, process id and start, and shows whether it has provably ended."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process, distinct from every other one that ever ran.

    `space` is the kernel's process-id namespace: two containers may share a host's name and boot, and number their
    processes separately. `started` is opaque; it differs between two processes of one id.
    """

    host: str
    boot_id: str
    space: str
    process: int
    started: str

    def __str__(self) -> str:
        return f"host {self.host}, process {self.process}"


def this_process() -> Owner:
    """The calling process."""
    process = os.getpid()
    return Owner(_host(), _boot_id(), _space(), process, _started(process) or "")


def is_gone(owner: Owner, spelled: Callable[[str], str] = str) -> bool | None:
    """Whether the process has ended; None where this host cannot know (another host or container has it).

    `spelled` is how the owner's texts were stored, where storing changed them.
    """
    if owner.host != spelled(_host()):
        return None
    if owner.boot_id != spelled(_boot_id()):
        return True
    if owner.space != spelled(_space()):
        return None
    started = _started(owner.process)
    return started is None or owner.started != spelled(started)


def _host() -> str:
    """This host's name. On Cloud Run every container is called localhost, and a run's is known by its execution."""
    return os.environ.get("CLOUD_RUN_EXECUTION") or socket.gethostname()


@cache
def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


@cache
def _space() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""


def _started(process: int) -> str | None:
    """None for a process that does not exist or is a zombie."""
    if not (_PROC / "self/stat").exists():
        return _started_elsewhere(process)
    try:
        stat = (_PROC / str(process) / "stat").read_text()
    except OSError:
        return None
    # After the name, which may hold anything: state is field 3, start in ticks since boot field 22 (man proc_pid_stat).
    # Seconds since 1970, which psutil gives, move when the clock is set.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_elsewhere(process: int) -> str | None:
    import psutil

    try:
        running = psutil.Process(process)
        return None if running.status() == psutil.STATUS_ZOMBIE else f"{running.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
