"""`deploy/verify.sh kubernetes` after a roll-out, with the real kubectl."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.kubernetes.test_kubectl import NAMESPACE, Deployment

pytestmark = pytest.mark.live
VERIFY = "VERIFY_PAUSE=0.2 deploy/verify.sh kubernetes"
JOB = "convergence-certify"


@pytest.fixture
def production(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path)
    deployment.start()
    deployment.apply()
    yield deployment
    deployment.stop()


@contextmanager
def api(*statuses: int) -> Iterator[str]:
    """An API whose readiness has these statuses, one after the other; the last one stays."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.end_headers()
            self.wfile.write(b'{"not_ready": ["daemon"]}')

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_deployment_that_works_is_verified_and_the_project_is_certified(production: Deployment) -> None:
    with api(503, 503, 200) as url:
        written = production.run(f"{VERIFY} --url {url} --timeout 30")
    assert "verify: the deployment works" in written
    assert f"verify: {url} is ready" in written
    assert "a line of the log" in written  # what certify prints
    job = production.cluster.get("Job", JOB, NAMESPACE)["spec"]["template"]["spec"]
    assert job["containers"][0]["args"] == ["convergence", "certify"]


def test_a_canary_is_run_each_time_by_a_new_job(production: Deployment) -> None:
    uids = set()
    for _ in range(2):
        production.run(f"{VERIFY} --timeout 30 --canary acme 2026-10-01")
        job = production.cluster.get("Job", JOB, NAMESPACE)
        uids.add(job["metadata"]["uid"])
        args = job["spec"]["template"]["spec"]["containers"][0]["args"]
        assert args == ["convergence", "certify", "--canary", "acme", "2026-10-01"]
    assert len(uids) == 2


def test_a_project_that_is_not_fit_ends_with_1(production: Deployment) -> None:
    production.cluster.failing_jobs.add(JOB)
    done = production.tried(f"{VERIFY} --timeout 30")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("verify: the project is not fit")


def test_a_release_that_does_not_start_ends_with_1_and_names_the_deployment(production: Deployment) -> None:
    production.cluster.missing_images.add("registry.example/convergence:9.9.9")
    production.run("kubectl set image deployment/convergence-watch watch=registry.example/convergence:9.9.9")
    done = production.tried(f"{VERIFY} --timeout 3")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("verify: deployment convergence-watch is not rolled out")
    assert not production.cluster.has("Job", JOB, NAMESPACE)


def test_an_api_that_is_not_ready_ends_with_1_and_its_answer(production: Deployment) -> None:
    with api(503) as url:
        done = production.tried(f"{VERIFY} --url {url} --timeout 3")
    assert done.returncode == 1
    assert '{"not_ready": ["daemon"]}' in done.stdout


@pytest.mark.parametrize(
    "words",
    ["", "nomad", "kubernetes --canary acme", "kubernetes --canary acme yesterday", "kubernetes --timeout soon",
     "cloud-run", "kubernetes --nonsense 1", "kubernetes --url"],
)  # fmt: skip
def test_wrong_words_end_with_2_and_show_the_usage(production: Deployment, words: str) -> None:
    done = production.tried(f"deploy/verify.sh {words}")
    assert done.returncode == 2
    assert "verify.sh kubernetes [--environment" in done.stdout
