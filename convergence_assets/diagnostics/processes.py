"""The platform's processes on this machine."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from convergence_assets.settings import Settings

_OURS = re.compile(r"(?:^|/)(?:dagster(?:-daemon|-webserver)?|convergence|forkserver\.py)$")
_WORDS = 4


def processes_of(settings: Settings, dagster_home: Path) -> list[tuple[int, str]]:
    """Id and command of each that uses this home, except this one and its ancestors; those of other users are not
    visible."""
    this_process = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            ours = process.pid not in this_process and any(map(_OURS.search, words[:_WORDS]))
            if ours and _uses(process.environ(), settings, dagster_home):
                processes.append((process.pid, " ".join(words)[:200]))
    return processes


def _uses(environ: Mapping[str, str], settings: Settings, dagster_home: Path) -> bool:
    homes = {"DAGSTER_HOME": dagster_home, "CONVERGENCE_HOME": settings.home}
    return any(name in environ and Path(environ[name]).resolve() == home.resolve() for name, home in homes.items())
