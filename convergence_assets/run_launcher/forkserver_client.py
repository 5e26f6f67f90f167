"""The client of the forkserver: starts one where there is none, and requests workers."""

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from convergence_assets.process import Owner, this_process

START_WITHIN_SECONDS = 120.0
"""Importing takes ten seconds on an idle machine. The daemon launches one run at a time and writes a heartbeat after
each; it counts as dead after three minutes."""
ANSWER_WITHIN_SECONDS = 30.0
AT_REST_SECONDS = 1.0
"""Files that have not changed for this long belong to one version."""
_PAUSES_SECONDS = (0.1, 0.5)

PRELOADED = (
    "dagster", "dagster._cli", "dagster._grpc.types", "dagster_postgres", "sqlalchemy", "sqlalchemy.dialects.sqlite",
    "psycopg2", "alembic.config", "great_expectations", "great_expectations.expectations.core", "pandas", "pyarrow",
    "pyarrow.dataset", "pyarrow.parquet", "duckdb", "sqlglot", "sqlglot.dialects.bigquery", "sqlglot.dialects.duckdb",
    "sqlglot.optimizer.qualify", "jinja2.sandbox", "jinja2.meta", "yaml", "pydantic", "filelock",
    "filelock._read_write", "cronsim", "rapidfuzz", "fsspec", "upath.core", "upath.implementations.local", "psutil",
    "rich.console", "typer", "tzdata", "duckdb.func", "pyarrow.pandas_compat", "watchdog.observers.polling",
    "multiprocessing.synchronize", "dagster._core.executor.in_process", "dagster._core.storage.root",
    "dagster._core.storage.local_compute_log_manager", "dagster._core.storage.sqlite_storage",
    "dagster._core.instance.factory", "dagster._core.workspace.autodiscovery", "dagster._core.utility_ops",
    "dagster._core.types.primitive_mapping", "dagster._core.execution.plan.active",
    "dagster._core.definitions.external_asset", "dagster._core.system_config.composite_descent",
    "dagster._core.definitions.repository_definition.repository_data_builder", "dagster._utils.test.definitions",
    "dagster._core.types.transform_typing", "pyarrow.vendored.version",
    "convergence_assets.control.change_log", "convergence_assets.control.lock_session",
    "convergence_assets.control.published_locations", "convergence_assets.control.publications",
    "convergence_assets.control.run_requests",
    "convergence_assets.control.workers", "convergence_assets.dagster_internals.sqlite_storage",
    "convergence_assets.definitions", "convergence_assets.dagster_instance",
    "convergence_assets.dagster_internals.instance",
    "convergence_assets.pipelines.catalog:library", "convergence_assets.pipelines.sql_names",
    "convergence_assets.quality.validate",
    "convergence_assets.quality.patterns",
    "convergence_assets.warehouse.duckdb.adapter", "convergence_assets.warehouse.duckdb.outcomes:kept_outcomes",
    "convergence_assets.warehouse.frames",
)  # fmt: skip
"""What a worker imports to publish a table (a test compares it with a run), and the shipped pipelines."""
PRELOADED_FOR_BIGQUERY = (
    "google.cloud.bigquery", "google.cloud.bigquery_storage", "dagster_gcp", "grpc",
    "convergence_assets.warehouse.bigquery.adapter",
)  # fmt: skip
_log = logging.getLogger(__name__)
FORKSERVER = Path(__file__).with_name("forkserver.py")
CODE = Path(__file__).parents[1]


class NoForkserver(Exception):
    """No worker is available; the message says why and where the details are."""


class _WentAway(NoForkserver):
    """The connection broke: the forkserver was killed, or is just ending."""


class _Replaced(NoForkserver):
    """There is no forkserver of the current code."""


@dataclass(frozen=True)
class Work:
    """`python -m argv[0] argv[1:]` in this environment and folder; its output goes to `log`, or its stdout to a
    descriptor of this process."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    log: Path
    stdout: int | None = None


class Forkserver:
    """The forkserver of a deployment on this host, shared by every process that launches runs.

    The connection stays open while this process lives: the forkserver runs for its clients and their workers.
    Where a file of `code`, the folder of a package, has been replaced since, or another set of packages is installed,
    the next worker comes from a new forkserver; the old one ends with its last client and worker.
    """

    def __init__(self, home: Path, packages: Sequence[str] = PRELOADED, code: Path = CODE) -> None:
        self._home = home
        self._folder = home / "workers"
        self._packages = packages
        self._code = code
        self._place = self._place_now()
        self._mutex = threading.Lock()
        self._connection: socket.socket | None = None
        self._opened_by = 0

    @property
    def folder(self) -> Path:
        """The logs of workers, deleted when they end successfully."""
        return self._folder

    def start(self, work: Work, register: Callable[[Owner], None]) -> Owner:
        """A worker that begins once `register` has returned; where that fails it never does.

        Raises `NoForkserver`, and whatever `register` raises.
        """
        with self._mutex:
            request = {
                "argv": work.argv,
                "env": dict(work.env),
                "cwd": work.cwd,
                "path": sys.path,
                "log": str(work.log),
            }
            try:
                answer = self._fork(request, work.stdout)
                owner = replace(this_process(), process=answer["process"], started=answer["started"])
                register(owner)
                self._ask({"go": owner.process})
            except BaseException:
                self._close()  # a worker that waits for us ends
                raise
            return owner

    def close(self) -> None:
        """Disconnect from the forkserver, which ends once it has no client and no worker."""
        with self._mutex:
            self._close()

    def _fork(self, request: Mapping[str, Any], stdout: int | None) -> Any:
        """Retried on another forkserver where this one went away: a worker that it may have created never begins."""
        deadline, pauses = time.monotonic() + START_WITHIN_SECONDS, list(_PAUSES_SECONDS)
        while True:
            try:
                self._follow(deadline)
                if self._connection is None or self._opened_by != os.getpid():
                    self._connection, self._opened_by = self._open(deadline), os.getpid()
                return self._ask({"fork": request}, stdout)
            except _Replaced:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AT_REST_SECONDS)
            except _WentAway as error:
                _log.warning("%s; another one is asked, or started", error)
                self._close()
                if not pauses:
                    raise
                time.sleep(pauses.pop(0))

    def _follow(self, deadline: float) -> None:
        """Go to the forkserver of the current code, once that has stopped changing."""
        while (place := self._place_now()) != self._place:
            self._close()
            self._place = place
            if time.monotonic() > deadline:
                raise self._replaced()
            time.sleep(AT_REST_SECONDS)

    def _place_now(self) -> Path:
        return _place(self._home, self._packages, self._code)

    def _ask(self, request: Mapping[str, Any], descriptor: int | None = None) -> Any:
        if self._connection is None:
            raise _WentAway("there is no connection to a forkserver")
        try:
            sent = json.dumps(request).encode() + b"\n"
            if descriptor is not None:
                sent = sent[socket.send_fds(self._connection, [sent], [descriptor]) :]
            self._connection.sendall(sent)
            received = b""
            while not received.endswith(b"\n"):
                more = self._connection.recv(1 << 16)
                if not more:
                    raise _WentAway(f"the forkserver went away; see {self._log}")
                received += more
        except OSError as error:
            # A timeout is no broken connection: it may still answer.
            kind = NoForkserver if isinstance(error, TimeoutError) else _WentAway
            raise kind(f"the forkserver does not answer: {error}; see {self._log}") from error
        answer = json.loads(received)
        if "error" in answer:
            raise NoForkserver(f"no worker was started: {answer['error']}")
        return answer

    def _close(self) -> None:
        if self._connection is not None and self._opened_by == os.getpid():
            self._connection.close()
        self._connection = None

    @property
    def _log(self) -> Path:
        return self._folder / "forkserver.log"

    def _open(self, deadline: float) -> socket.socket:
        connection = self._connect() or self._start(deadline)
        if self._place_now() != self._place:
            connection.close()
            raise self._replaced()
        return connection

    def _replaced(self) -> "_Replaced":
        return _Replaced(
            f"files of {self._code} or installed packages are being replaced. Next: run it again after that"
        )

    def _start(self, deadline: float) -> socket.socket:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NoForkserver(f"{self._folder} cannot be made: {error.strerror}. Next: make it writable") from error
        try:
            with FileLock(self._folder / "forkserver.lock", timeout=max(0.0, deadline - time.monotonic())):
                return self._connect() or self._started(deadline)
        except Timeout:
            raise NoForkserver(f"another process takes too long to start the forkserver; see {self._log}") from None

    def _started(self, deadline: float) -> socket.socket:
        if self._place_now() != self._place or not FORKSERVER.exists():
            raise self._replaced()
        with self._log.open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-P", str(FORKSERVER), str(self._place), str(self._code.parent), *self._packages],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            )  # fmt: skip
        # Reaped whenever it ends, long after this call.
        threading.Thread(target=started.wait, name="forkserver", daemon=True).start()
        try:
            while (connection := self._connect()) is None:
                if self._place_now() != self._place:
                    raise self._replaced()
                if started.poll() is not None or time.monotonic() > deadline:
                    raise NoForkserver(f"the forkserver did not start; see {self._log}")
                time.sleep(0.05)
        except BaseException:
            started.kill()
            raise
        return connection

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(ANSWER_WITHIN_SECONDS)
        try:
            connection.connect(str(self._place))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise NoForkserver(f"the forkserver cannot be reached: {error}") from error
        return connection


def _place(home: Path, packages: Sequence[str], code: Path) -> Path:
    """A socket unique to this deployment, Python, set of installed packages and state of the code; its path must be
    short."""
    installed: list[str] = []
    with suppress(FileNotFoundError):  # an environment that is being recreated
        installed = sorted(n for n in os.listdir(sysconfig.get_path("purelib")) if n.endswith(".dist-info"))
    key = "\0".join([str(home), sys.executable, *packages, *installed, str(code), *sorted(_files(str(code)))])
    folder = Path(tempfile.gettempdir()) / f"convergence-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise NoForkserver(f"{folder} is not this user's alone. Next: remove it, or set TMPDIR to another folder")
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.sock"


def _files(folder: str) -> Iterator[str]:
    """Every Python file below a folder, identified by its size and the time of its last change of any kind."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:  # an installation may be in progress there
        for entry in entries:
            if entry.name.endswith(".py"):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield f"{entry.path} {status.st_size} {status.st_ctime_ns}"
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _files(entry.path)
