"""CPU seconds and peak memory of a deployment's processes by what they are, those that have ended included."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
ROLES = {
    "postgres": "postgres", "forkserver.py": "forkserver", "dagster-webserver": "webserver",
    "dagster_webserver": "webserver", "dagster._daemon": "daemon", "dagster-daemon": "daemon",
    "code-server": "code server", "grpc": "code server",
}  # fmt: skip
"""By a word of the command line; the first that is found counts."""
REAPED = {"forkserver": "workers"}
"""What a process's ended children are, where they are not as it is."""


@dataclass
class Family:
    """The processes under these roots. Linux alone: of an ended child the kernel keeps the seconds with its parent."""

    roots: list[int]
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """Of the largest process of each role, as far as it was looked at."""

    def __post_init__(self) -> None:
        if not Path("/proc/self/stat").exists():
            raise RuntimeError("the memory and seconds of other processes are read from /proc, which is Linux's alone")

    def processes(self) -> Iterator[tuple[str, psutil.Process]]:
        for root in self.roots:
            with suppress(psutil.NoSuchProcess):
                own = psutil.Process(root)
                for process in [own, *own.children(recursive=True)]:
                    with suppress(psutil.NoSuchProcess):
                        yield _role(process), process

    def cpu_seconds(self) -> Mapping[str, float]:
        """User and system time until now by role, and a look at memory."""
        spent: dict[str, float] = defaultdict(float)
        for role, process in self.processes():
            try:
                text = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                continue
            # Fields 14 to 17 of man proc_pid_stat; what follows the name begins with the third.
            user, system, of_children, system_of_children = (int(ticks) / TICKS_A_SECOND for ticks in text[11:15])
            spent[role] += user + system
            spent[REAPED.get(role, role)] += of_children + system_of_children
            if "VmHWM:" in status:
                peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
                self.peak_bytes[role] = max(peak, self.peak_bytes.get(role, 0))
        return spent


def _role(process: psutil.Process) -> str:
    words = {Path(word).name for word in process.cmdline()[:6]} | {process.name()}
    found = next((role for word, role in ROLES.items() if word in words), "dagster dev")
    if found == "forkserver":
        parent = process.parent()
        # A worker is forked, and looks as its parent does.
        return "workers" if parent and "forkserver.py" in {Path(w).name for w in parent.cmdline()} else found
    return found
