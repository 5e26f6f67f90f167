"""What a command costs as the kernel counts it, and the machine that it ran on."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Cost:
    """CPU seconds of all processes, seconds that passed, bytes of the largest process at its peak; what was printed."""

    cpu_seconds: float
    seconds: float
    peak_bytes: int
    output: str = ""

    def __add__(self, other: "Cost") -> "Cost":
        """One after the other."""
        return Cost(
            self.cpu_seconds + other.cpu_seconds,
            self.seconds + other.seconds,
            max(self.peak_bytes, other.peak_bytes),
            self.output + other.output,
        )


def measured(
    command: Sequence[str | Path], env: Mapping[str, str], cwd: Path | None = None, expected: Collection[int] = (0,)
) -> Cost:
    """Run a command to its end, with every process that it started and waited for; raises unless it ended with an
    expected exit code."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}: {output[-3000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss * 1024, output)


def peak_bytes() -> int:
    """What this process has held in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def stdout_dropped() -> Iterator[None]:
    """Workers write their log lines to the stdout of the process that launches them: written all the same, unread."""
    sys.stdout.flush()
    own, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(own, 1)
        os.close(own)
        os.close(nowhere)


def machine(packages: Sequence[str]) -> dict[str, object]:
    """Cores, processor, memory, what else was at work, Python and the versions of these packages."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cores": os.cpu_count(),
        "processor": cpu[0] if cpu else platform.processor(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_when_it_began": os.getloadavg(),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in packages},
    }
