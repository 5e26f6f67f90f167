"""`convergence up`: Dagster's UI, daemon and code server, and the HTTP service, in one terminal."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from convergence_assets.cli.instance import dagster_home, open_instance
from convergence_assets.cli.joined import Joined
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.process import Owner

SECONDS_TO_END = 8.0
"""Of the ten in which everything has ended."""
_WORKSPACE = "workspace.yaml"


@dataclass
class _Part:
    """A process of the platform, the leader of a session of its own; its lines are shown with its name."""

    name: str
    process: "subprocess.Popen[str]"


def up(
    port: Annotated[int, typer.Option(help="Of the Dagster UI", min=1, max=65535)] = 3000,
    api_port: Annotated[
        int | None, typer.Option(help="Of the HTTP service; absent: API_PORT, else 8080", min=1, max=65535)
    ] = None,
    host: Annotated[str, typer.Option(help="The address that both listen on")] = "127.0.0.1",
) -> None:
    """Run the platform here: Dagster's UI, its daemon and code server, and the HTTP service. Ctrl-C ends all of it.

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
    parts: list[_Part] = []
    with _ending_on_signals() as asked:
        try:
            words = ["dev", "-w", _WORKSPACE, "-h", host, "-p", str(port), "--log-format", "json"]
            parts.append(_start("dagster", [str(_beside("dagster")), *words], environ, joined))
            words = ["serve", "--host", host, "--port", str(api_port)]
            parts.append(_start("api", [str(_beside("convergence")), *words], environ, joined))
            joined.say(f"Dagster UI: http://{host}:{port}   HTTP service: http://{host}:{api_port}/docs")
            ended = _first_to_end(parts, asked)
        finally:
            _end(parts, settings)
    if ended is not None:
        joined.say(f"{ended.name} ended by itself (exit code {ended.process.returncode}); the rest was ended too")
        raise typer.Exit(1)


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


def _start(name: str, words: Sequence[str], environ: Mapping[str, str], joined: Joined) -> _Part:
    process = subprocess.Popen(
        words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        start_new_session=True, preexec_fn=_listen_to_interrupts,
    )  # fmt: skip
    assert process.stdout is not None
    threading.Thread(target=joined.follow, args=(name, process.stdout), daemon=True).start()
    return _Part(name, process)


def _listen_to_interrupts() -> None:
    # Where this command itself ignores them (a shell's background job), its children would too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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


def _first_to_end(parts: Sequence[_Part], asked: threading.Event) -> _Part | None:
    """The part that ended by itself; None where somebody asked for the end."""
    while not asked.wait(0.2):
        for part in parts:
            if part.process.poll() is not None:
                return part
    return None


def _end(parts: Sequence[_Part], settings: Settings) -> None:
    """All processes of the platform on this host, runs' workers too: no process and no lock is left."""
    import psutil

    deadline = time.monotonic() + SECONDS_TO_END
    family: list[psutil.Process] = []
    for part in parts:
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(part.process.pid)
            family += [own, *own.children(recursive=True)]
        with suppress(ProcessLookupError):
            part.process.send_signal(signal.SIGINT if part.name == "dagster" else signal.SIGTERM)
    with ThreadPoolExecutor(8) as ending:
        for _ in ending.map(lambda owner: _end_worker(owner, deadline), _workers(settings)):
            pass
    _, alive = psutil.wait_procs(family, timeout=max(0.0, deadline - time.monotonic()))
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    for part in parts:
        part.process.wait()


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
    from convergence_assets.operations.ending import end_process

    left = max(1.0, deadline - time.monotonic() - 2.0)
    end_process(owner, {signal.SIGINT: left, signal.SIGTERM: 0.5})
