"""`convergence up`: Dagster's UI, daemon and code server, and the HTTP service, in one terminal."""

import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from convergence_assets.cli.instance import dagster_home, open_instance
from convergence_assets.cli.log_multiplexer import LogMultiplexer
from convergence_assets.cli.supervisor import Supervised, Supervisor
from convergence_assets.dagster_internals.code_locations import CodeLocation, code_locations
from convergence_assets.monitoring.code_servers import write_workspace
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.process import Owner

SECONDS_TO_END = 8.0
"""Of the ten seconds within which everything has ended."""
SECONDS_FOR_CODE = 120.0
"""How long daemon and webserver wait for the code to be loaded; they would try again, but not at once."""
_WORKSPACE = "workspace.yaml"


def up(
    port: Annotated[int, typer.Option(help="Of the Dagster UI", min=1, max=65535)] = 3000,
    api_port: Annotated[
        int | None, typer.Option(help="Of the HTTP service; default: API_PORT, else 8080", min=1, max=65535)
    ] = None,
    host: Annotated[str, typer.Option(help="The address that both listen on")] = "127.0.0.1",
) -> None:
    """Run the platform here: Dagster's UI, its daemon and code server, and the HTTP service. Ctrl-C ends all of it.

    What ends by itself is started again, and all of it is ended where one of them keeps ending (exit code 1).

    Their logs are shown together: as text on a terminal, else, or with CONVERGENCE_LOG_FORMAT=json, as JSON lines.

    Example: convergence up --port 3000 --api-port 8080
    """
    settings = Settings.from_env()
    api_port = api_port or settings.api_port
    taken = [
        f"{number} ({name})" for name, number in (("--port", port), ("--api-port", api_port)) if _is_taken(host, number)
    ]
    if taken:
        raise typer.BadParameter(
            f"in use on {host}: port {', port '.join(taken)}; end what listens there, or say another"
        )
    if not Path(_WORKSPACE).exists():
        raise typer.BadParameter(
            f"there is no {_WORKSPACE} here; call this in the folder that holds it (`convergence demo` makes one)"
        )
    home = dagster_home(settings)
    _create_stores(settings)
    overrides = {"DAGSTER_HOME": str(home), "PYTHONUNBUFFERED": "1", "CONVERGENCE_LOG_FORMAT": "json"}
    environ = dict(os.environ) | overrides
    environ.setdefault("CONVERGENCE_DAGSTER_URL", f"http://{host}:{port}")
    logs = LogMultiplexer()
    with _ending_on_signals() as stopping, tempfile.TemporaryDirectory(prefix="convergence-up-") as sockets:
        parts = _parts(settings, environ, host, port, api_port, Path(sockets))
        supervisor = Supervisor(parts, logs.write_line, logs.follow)
        try:
            logs.write_line(f"Dagster UI: http://{host}:{port}   HTTP service: http://{host}:{api_port}/docs")
            failure = supervisor.watch(stopping)
        finally:
            _end_processes(supervisor, settings)
    if failure:
        logs.write_line(f"{failure}; the rest was ended too. Its last lines are above")
        raise typer.Exit(1)


def _parts(
    settings: Settings, environ: Mapping[str, str], host: str, port: int, api_port: int, sockets: Path
) -> list[Supervised]:
    """The code servers, then the others, of which daemon and webserver ask them for what they run and show."""
    dagster, convergence = str(_beside("dagster")), str(_beside("convergence"))
    locations: list[CodeLocation] = []
    servers: list[Supervised] = []
    for number, location in enumerate(code_locations(Path(_WORKSPACE))):
        if location.arguments is None:
            locations.append(location)
            continue
        socket_location = replace(location, arguments=None, socket=str(sockets / f"{number}.sock"))
        arguments = ["code-server", "start", "--socket", str(socket_location.socket), "--location-name", location.name]
        # The address outlives its process: daemon and webserver go on with the next one that answers there.
        command = [dagster, *arguments, "--log-format", "json", "--inject-env-vars-from-instance", *location.arguments]
        name = "code" if number == 0 else f"code {number + 1}"
        servers.append(Supervised(name, command, environ, child="api grpc"))
        locations.append(socket_location)
    workspace = ["-w", str(write_workspace(settings, locations)), "--log-format", "json"]
    daemon = [str(_beside("dagster-daemon")), "run", *workspace]
    webserver = [str(_beside("dagster-webserver")), "-h", host, "-p", str(port), *workspace]
    until = time.monotonic() + SECONDS_FOR_CODE

    def code_answers() -> bool:  # what cannot be loaded is shown in the UI
        return time.monotonic() > until or not any(location.why_silent(1.0) for location in locations)

    return [
        *servers,
        Supervised("daemon", daemon, environ, signal.SIGINT, may_start=code_answers),
        Supervised("webserver", webserver, environ, signal.SIGINT, may_start=code_answers),
        Supervised("api", [convergence, "serve", "--host", host, "--port", str(api_port)], environ),
    ]  # fmt: skip


def _create_stores(settings: Settings) -> None:
    """Create the stores here: two processes that create Dagster's SQLite files at once leave them broken."""
    from convergence_assets.control.store import ControlStore
    from convergence_assets.dagster_internals import automation_states

    with open_instance(settings) as instance:
        instance.get_runs(limit=1)
        instance.get_asset_keys(limit=1)
        automation_states.stopped_schedules(instance)
    ControlStore.open(settings)


def _is_taken(host: str, port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return True
    return False


def _beside(name: str) -> Path:
    """A command of the same environment."""
    return Path(sys.executable).with_name(name)


class _ending_on_signals:
    """An event that Ctrl-C and SIGTERM set; a second one ends this command at once."""

    def __enter__(self) -> threading.Event:
        self._stopping = threading.Event()
        self._before = {sign: signal.signal(sign, self._stop) for sign in (signal.SIGINT, signal.SIGTERM)}
        return self._stopping

    def __exit__(self, *_: object) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        if self._stopping.is_set():
            raise KeyboardInterrupt
        self._stopping.set()


def _end_processes(supervisor: Supervisor, settings: Settings) -> None:
    """All processes of the platform on this host, runs' workers too: no process and no lock is left."""
    import psutil

    deadline = time.monotonic() + SECONDS_TO_END
    family = supervisor.family()
    parts = [(part, part.process) for part in supervisor.parts if part.process is not None]
    for part, process in parts:
        with suppress(ProcessLookupError):
            process.send_signal(part.stopped_by)
    with ThreadPoolExecutor(8) as ending:
        for _ in ending.map(lambda owner: _end_worker(owner, deadline), _workers(settings)):
            pass
    _, alive = psutil.wait_procs(family, timeout=max(0.0, deadline - time.monotonic()))
    for survivor in alive:
        with suppress(psutil.NoSuchProcess):
            survivor.kill()
    for _, process in parts:
        process.wait()


def _workers(settings: Settings) -> "Iterator[Owner]":
    import psutil

    from convergence_assets.control.errors import ControlError
    from convergence_assets.control.store import ControlStore
    from convergence_assets.control.workers import Workers

    with suppress(ControlError):
        for worker in Workers(ControlStore.open(settings)).living():
            # A run of another terminal is left alone.
            with suppress(psutil.Error):
                if any(word.endswith("forkserver.py") for word in psutil.Process(worker.owner.process).cmdline()):
                    yield worker.owner


def _end_worker(owner: "Owner", deadline: float) -> None:
    from convergence_assets.run_launcher.termination import end_process

    left = max(1.0, deadline - time.monotonic() - 2.0)
    end_process(owner, {signal.SIGINT: left, signal.SIGTERM: 0.5})
