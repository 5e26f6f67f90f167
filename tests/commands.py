"""The `convergence` command as a process of its own, forked from one that has imported what commands import.

A command started from nothing spends 2.5 CPU-seconds on imports, 7 with Great Expectations, and most tests ask for
several. Tests of imports, entry points and signals start it as a user does.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_IMPORTED = (
    "convergence_assets.cli.main", "convergence_assets.definitions", "convergence_assets.api.server",
    "convergence_assets.tenancy.registry", "convergence_assets.diagnostics.doctor.checks", "dagster", "duckdb",
    "alembic.command", "great_expectations", "pandas", "tests.shipped_pipelines",
)  # fmt: skip
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(_IMPORTED))


def convergence(
    *words: str | Path, environ: Mapping[str, str], folder: Path = ROOT, first: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command with these variables and no others, standing in `folder`. `first` runs before the program is
    started, so that the command is then no fork.
    """
    if first:
        return subprocess.run(
            [sys.executable, "-m", "convergence_assets.cli.main", *words], env=dict(environ), cwd=folder,
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, preexec_fn=first,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as written:
        out, err = Path(written, "out"), Path(written, "err")
        argv = [str(word) for word in words]
        process = forked(_run, argv, dict(environ), folder, out, err)
        process.join(120)
        if process.is_alive():
            process.kill()
            process.join()
            raise AssertionError(f"{argv} did not end: {err.read_text()[-3000:]}")
        assert process.exitcode is not None
        return subprocess.CompletedProcess(argv, process.exitcode, out.read_text(), err.read_text())


def forked(function: Callable[..., object], *arguments: object) -> BaseProcess:
    """A process that calls `function`, forked as a command is, and already at work."""
    process = _FORKS.Process(target=function, args=arguments)
    process.start()
    return process


def _run(argv: list[str], environ: dict[str, str], folder: Path, out: Path, err: Path) -> None:
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    for descriptor, file, flags in (
        (0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY | os.O_CREAT), (2, err, os.O_WRONLY | os.O_CREAT),
    ):  # fmt: skip
        opened = os.open(file, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["convergence", *argv]
    from convergence_assets.cli.main import main

    main()
