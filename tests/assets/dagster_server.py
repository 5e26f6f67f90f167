"""A project's code location under the real `dagster` processes: daemon, webserver, code server."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.assets.project import TENANTS, Project
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_home
from tests.ports import free_port

BIN = Path(sys.executable).parent


INSTANCE = """
run_queue: {max_concurrent_runs: 1}
run_launcher: {module: convergence_assets.dagster_instance, class: WarmRunLauncher}
"""


def environment(project: Project, instance: str = INSTANCE, **more: str) -> dict[str, str]:
    """`instance` is the dagster.yaml."""
    home = dagster_home(project.settings.home / "dagster", instance)
    return clean_environment() | {
        "CONVERGENCE_HOME": str(project.settings.home),
        "CONVERGENCE_TENANTS": str(TENANTS),
        "DAGSTER_HOME": str(home),
    } | more  # fmt: skip


def await_listening(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Until `server` listens on a port of the loopback; fails with its log."""
    deadline = time.monotonic() + 120
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        assert server.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


@contextmanager
def dagster_dev(
    environ: dict[str, str], module: str = "convergence_assets.definitions", workspace: Path | None = None
) -> Iterator[Callable[..., dict[str, Any]]]:
    """`dagster dev` of a module or a workspace.yaml on a free loopback port; yields a function that asks its GraphQL."""
    port = free_port()
    loads = ["-w", str(workspace)] if workspace else ["-m", module]
    log = Path(environ["DAGSTER_HOME"]) / "dev.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [BIN / "dagster", "dev", *loads, "-h", "127.0.0.1", "-p", str(port)],
            env=environ, stdout=out, stderr=subprocess.STDOUT, cwd=environ["DAGSTER_HOME"],
            # `dagster dev` ends its children by SIGINT, which a shell's background jobs ignore, and theirs after them.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def ask(query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            payload: dict[str, Any] = json.load(response)
        assert "errors" not in payload, payload["errors"]
        data: dict[str, Any] = payload["data"]
        return data

    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                ask("{ version }")
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.5)
        yield ask
    finally:
        server.terminate()
        server.wait(timeout=60)
