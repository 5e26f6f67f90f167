"""A local BigQuery server in a process of its own, and the project's warehouse connected to it."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convergence_assets.settings import Settings
from tests.ports import free_port

if TYPE_CHECKING:
    from google.cloud import bigquery

PROJECT = "peer-project"
START_SECONDS = 120


@dataclass
class Peer:
    """local-bigquery on a free loopback port; `environment` is what tests/peer/environment.py made."""

    environment: Path
    data: Path
    port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to use this server."""
        return {
            "GCP_PROJECT_ID": PROJECT,
            "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{self.port}",
            "BIGQUERY_STORAGE_EMULATOR_HOST": f"127.0.0.1:{self.grpc_port}",
        }

    def start(self) -> None:
        """Start it and wait until a query answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        ports = ["--host", "127.0.0.1", "--port", str(self.port), "--grpc-port", str(self.grpc_port)]
        with (self.data / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.environment / "bin" / "local-bigquery", *ports, "--data-dir", str(self.data / "data")],
                stdout=log,
                stderr=log,
                env=os.environ | {"HOME": str(self.environment)},
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            log_tail = (self.data / "server.log").read_text()[-2000:]
            assert self.process.poll() is None, f"the server ended: {log_tail}"
            assert time.monotonic() < deadline, f"the server answers no query: {log_tail}"
            time.sleep(0.2)

    def _answers(self) -> bool:
        with suppress(Exception), self.client() as client:
            return len(list(client.query_and_wait("SELECT 1 AS one", retry=None, job_retry=None))) == 1
        return False

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(kind)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
            self.process.wait()

    def client(self) -> "bigquery.Client":
        from google.api_core.client_options import ClientOptions
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import bigquery

        options = ClientOptions(api_endpoint=self.variables["BIGQUERY_EMULATOR_HOST"])
        anybody = AnonymousCredentials()  # type: ignore[no-untyped-call]
        return bigquery.Client(PROJECT, anybody, client_options=options)

    def settings(self, home: Path, tenants: str = "tenants") -> Settings:
        return Settings.from_env(self.variables | {"CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": tenants})

    def drop_everything(self) -> None:
        """Every dataset, so that the next test starts on an empty server (each query lists all tables)."""
        with self.client() as client:
            for dataset in client.list_datasets(include_all=True):
                client.delete_dataset(dataset.dataset_id, delete_contents=True, not_found_ok=True)
