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
from convergence_assets.cli.log_multiplexer import Joined
from convergence_assets.dagster_locations import CodeLocation, code_locations
from convergence_assets.operations.code_servers import write_workspace
from convergence_assets.operations.supervisor import Supervised, Supervisor
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.process import Owner

SECONDS_TO_END = 8.0
"""Of the ten in which everything has ended."""
SECONDS_FOR_CODE = 120.0
"""So long daemon and webserver wait for the code to be loaded; they would try again, but not at once."""
_WORKSPACE = "workspace.yaml"


def up(
    port: Annotated[int, typer.Option(help="Of the Dagster UI", min=1, max=65535)] = 3000,
    api_port: Annotated[
        int | None, typer.Option(help="Of the HTTP service; absent: API_PORT, else 8080", min=1, max=65535)
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
    taken = [f"{asked} ({name})" for name, asked in (("--port", port), ("--api-port", api_port)) if _taken(host, asked)]
    if taken:
        raise typer.BadParameter(
            f"in use on {host}: port {', port '.join(taken)}; end what listens there, or say another"
        )
    if not Path(_WORKSPACE).exists():
        raise typer.BadParameter(f"there is no {_WORKSPACE} here; call this in the folder that holds it")
    home = dagster_home(settings)
    _prepare(settings)
    own = {"DAGSTER_HOME": str(home), "PYTHONUNBUFFERED": "1", "CONVERGENCE_LOG_FORMAT": "json"}
    environ = dict(os.environ) | own
    environ.setdefault("CONVERGENCE_DAGSTER_URL", f"http://{host}:{port}")
    joined = Joined()
    with _ending_on_signals() as asked, tempfile.TemporaryDirectory(prefix="convergence-up-") as sockets:
        parts = _parts(settings, environ, host, port, api_port, Path(sockets))
        supervisor = Supervisor(parts, joined.say, joined.follow)
        try:
            joined.say(f"Dagster UI: http://{host}:{port}   HTTP service: http://{host}:{api_port}/docs")
            given_up = supervisor.watch(asked)
        finally:
            _end(supervisor, settings)
    if given_up:
        joined.say(f"{given_up}; the rest was ended too. Its last lines are above")
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
        served = replace(location, arguments=None, socket=str(sockets / f"{number}.sock"))
        words = ["code-server", "start", "--socket", str(served.socket), "--location-name", location.name]
        # The address stays while the process behind it does not: daemon and webserver go on with whoever answers there.
        command = [dagster, *words, "--log-format", "json", "--inject-env-vars-from-instance", *location.arguments]
        name = "code" if number == 0 else f"code {number + 1}"
        servers.append(Supervised(name, command, environ, child="api grpc"))
        locations.append(served)
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


def _prepare(settings: Settings) -> None:
    """Make what is made on first use: two processes that make Dagster's SQLite files at once leave them broken."""
    from convergence_assets import dagster_compat
    from convergence_assets.control.store import ControlStore

    with open_instance(settings) as instance:
        instance.get_runs(limit=1)
        instance.get_asset_keys(limit=1)
        dagster_compat.stopped_schedules(instance)
    ControlStore.open(settings)


def _taken(host: str, port: int) -> bool:
    with socket.socket() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asking.bind((host, port))
        except OSError:
            return True
    return False


def _beside(name: str) -> Path:
    """A command of the same environment."""
    return Path(sys.executable).with_name(name)


class _ending_on_signals:
    """An event that Ctrl-C and SIGTERM set; a second one ends this command at once."""

    def __enter__(self) -> threading.Event:
        self._asked = threading.Event()
        self._before = {sign: signal.signal(sign, self._ask) for sign in (signal.SIGINT, signal.SIGTERM)}
        return self._asked

    def __exit__(self, *_: object) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()


def _end(supervisor: Supervisor, settings: Settings) -> None:
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
    for left in alive:
        with suppress(psutil.NoSuchProcess):
            left.kill()
    for _, process in parts:
        process.wait()


def _workers(settings: Settings) -> "Iterator[Owner]":
    import psutil

    from convergence_assets.control.errors import ControlError
    from convergence_assets.control.store import ControlStore
    from convergence_assets.control.workers import Workers

    with suppress(ControlError):
        for worker in Workers(ControlStore.open(settings)).living():
            # A run that somebody typed in another terminal is theirs.
            with suppress(psutil.Error):
                if any(word.endswith("forkserver.py") for word in psutil.Process(worker.owner.process).cmdline()):
                    yield worker.owner


def _end_worker(owner: "Owner", deadline: float) -> None:
    from convergence_assets.operations.termination import end_process

    left = max(1.0, deadline - time.monotonic() - 2.0)
    end_process(owner, {signal.SIGINT: left, signal.SIGTERM: 0.5})
