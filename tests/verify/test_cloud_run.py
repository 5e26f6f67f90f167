"""`deploy/verify.sh cloud-run` after a roll-out, with the real gcloud."""

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import tools
from tests.verify.cloud_run_api import CloudRun, cloud_run

pytestmark = [pytest.mark.live, pytest.mark.slow]  # gcloud takes seconds of CPU to start

ROOT = Path(__file__).parents[2]
API = "convergence-data-pipeline"


@pytest.fixture
def services() -> Iterator[CloudRun]:
    """Three services that are ready; the API answers that it is."""

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with cloud_run() as stub:
        for name in ("convergence-tenants", "convergence-webserver", API):
            stub.serve(name, url=f"http://127.0.0.1:{server.server_port}")
        yield stub
    server.shutdown()
    server.server_close()


def verify(services: CloudRun, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    gcloud = Path(tools.gcloud())
    environ = {"PATH": f"{gcloud.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "VERIFY_PAUSE": "0.2"}
    return subprocess.run(
        [ROOT / "deploy" / "verify.sh", "cloud-run", "--region", "us-central1", *words],
        env=environ | services.environ(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip


def test_services_that_serve_their_newest_revision_are_verified_and_the_project_is_certified(
    services: CloudRun, tmp_path: Path
) -> None:
    done = verify(services, tmp_path, "--canary", "acme", "2026-10-01")
    assert done.returncode == 0, done.stdout
    assert "verify: the services serve their newest revisions" in done.stdout
    assert done.stdout.splitlines()[-1] == "verify: the deployment works"
    (execution,) = services.executed
    assert execution["job"] == "convergence-run"
    (container,) = execution["overrides"]["containerOverrides"]
    assert container["args"] == ["convergence", "certify", "--canary", "acme", "2026-10-01"]


def test_a_revision_that_does_not_start_ends_with_1_and_nothing_is_executed(services: CloudRun, tmp_path: Path) -> None:
    services.serve(API, ready=False)
    done = verify(services, tmp_path, "--timeout", "4")
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last == (f"verify: service {API}: Ready is False, newest revision {API}-00002, ready revision {API}-00001")
    assert services.executed == []


def test_a_project_that_is_not_fit_ends_with_1(services: CloudRun, tmp_path: Path) -> None:
    services.failing.add("convergence-run")
    done = verify(services, tmp_path)
    assert done.returncode == 1
    assert "verify: the project is not fit" in done.stdout


def test_a_service_that_is_not_there_is_named(services: CloudRun, tmp_path: Path) -> None:
    del services.services["convergence-tenants"]
    done = verify(services, tmp_path)
    assert done.returncode == 1
    assert "there is no service convergence-tenants in us-central1" in done.stdout
