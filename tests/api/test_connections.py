"""The API's door: what never becomes a request is closed in time, and keeps nobody else waiting."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from convergence_assets.api import connections, server
from convergence_assets.api.connections import Connections
from convergence_assets.api.middleware import LARGEST_BODY_BYTES
from tests.api.service import Service
from tests.api.service import serving as serving_at

HALF = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Half: "
HALF_A_BODY = b"POST /api/v1/pipelines/demo_costs/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that waits a second for a request's headers and its body."""
    with pytest.MonkeyPatch.context() as patch, serving_at(tmp_path_factory.mktemp("quick")) as service:
        patch.setattr(connections, "HEADERS_SECONDS", 1)
        patch.setattr(connections, "BODY_SECONDS", 1)
        yield service


def connected(service: Service, sent: bytes = b"") -> socket.socket:
    url = httpx.URL(service.url)
    connection = socket.create_connection((url.host, url.port), timeout=10)
    connection.sendall(sent)
    return connection


def answer_of(value: socket.socket) -> bytes:
    """All that is sent until the connection is closed."""
    found = b""
    while chunk := value.recv(65536):
        found += chunk
    return found


@pytest.mark.parametrize("sent", [b"", HALF, HALF_A_BODY], ids=["nothing", "half the headers", "half the body"])
def test_a_request_that_does_not_arrive_is_closed(quick: Service, sent: bytes) -> None:
    with closing(connected(quick, sent)) as connection:
        began = time.monotonic()
        answer = answer_of(connection)
        assert 0.5 < time.monotonic() - began < 5
    assert answer in (b"", connections._LATE)
    assert quick.client.get("/health/live").status_code == 200


def test_a_byte_now_and_then_does_not_prolong_it(quick: Service) -> None:
    with closing(connected(quick, HALF)) as connection:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 10:
                connection.sendall(b"x")
                time.sleep(0.1)
        assert time.monotonic() - began < 5


def test_a_second_request_of_a_connection_has_its_own_time_and_an_idle_one_is_kept(quick: Service) -> None:
    with httpx.Client(base_url=quick.url) as client:
        for _ in range(3):
            assert client.get("/health/live").status_code == 200
            time.sleep(0.7)
    whole = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(connected(quick, whole)) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(HALF)
        began = time.monotonic()
        answer_of(connection)
        assert 0.5 < time.monotonic() - began < 5


def test_others_are_answered_while_hundreds_send_half_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than there is room for: who waited longest makes room, and whoever asks is answered."""
    monkeypatch.setattr(server, "Connections", lambda: Connections(100))
    with serving_at(tmp_path) as service:
        half = [connected(service, HALF) for _ in range(300)]
        took = []
        for _ in range(40):
            began = time.monotonic()
            assert httpx.get(f"{service.url}/health/live").status_code == 200
            took.append(time.monotonic() - began)
        assert statistics.quantiles(took, n=20)[-1] < 1.0, took
        closed = 0
        for connection in half[:200]:
            connection.settimeout(5)
            try:
                while connection.recv(65536):  # a slow machine may have told some that their request took too long
                    pass
                closed += 1
            except ConnectionResetError:
                closed += 1
        assert closed == 200, "the oldest are closed"
        for connection in half:
            connection.close()


def test_connections_that_are_kept_idle_make_room_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "Connections", lambda: Connections(10))
    whole = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving_at(tmp_path) as service:
        idle = []
        for _ in range(25):
            idle.append(connected(service, whole))
            assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200")
        idle[-1].sendall(whole)
        assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200"), "the newest are kept"
        for connection in idle:
            connection.close()


def test_where_all_are_being_answered_one_more_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(2)
    monkeypatch.setattr(server, "Connections", lambda: connections)
    entered, go_on = threading.Semaphore(0), threading.Event()
    with serving_at(tmp_path) as service:

        def check_secret(secret: str) -> tuple[None, str]:
            entered.release()
            go_on.wait(30)
            return None, "unknown"

        monkeypatch.setattr(service.deployment.keys, "check_secret", check_secret)
        asking = [
            threading.Thread(target=lambda: httpx.get(f"{service.url}/api/v1/pipelines", headers={"x-api-key": "a"}))
            for _ in range(2)
        ]
        for thread in asking:
            thread.start()
            assert entered.acquire(timeout=10)
        try:
            with closing(connected(service, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")) as third:
                assert answer_of(third).startswith(b"HTTP/1.1 503")
        finally:
            go_on.set()
            for thread in asking:
                thread.join(10)
        assert httpx.get(f"{service.url}/health/live").status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [LARGEST_BODY_BYTES + 1, 2_000_000, 8_000_000])
def test_a_body_that_is_too_large_is_answered_so_that_the_client_can_read_it(
    quick: Service, size: int, chunked: bool
) -> None:
    body = json.dumps({"partition": "x" * size}).encode()
    content = iter([body[n : n + 60_000] for n in range(0, len(body), 60_000)]) if chunked else body
    headers = {"x-api-key": quick.key(), "content-type": "application/json"}
    answer = httpx.post(f"{quick.url}/api/v1/pipelines/demo_costs/runs", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


def test_pages_load_nothing_from_elsewhere_and_stand_in_no_frame(quick: Service) -> None:
    for path in ("/health/live", "/api/v1/pipelines", "/docs", "/redoc", "/nowhere"):
        policy = quick.client.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert ("script-src" in policy) is (path in ("/docs", "/redoc"))
        assert "http" not in policy


def test_the_metrics_token_opens_metrics_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "a-token-for-prometheus-alone"
    with serving_at(tmp_path, metrics_token=token) as service:
        monkeypatch.setattr("convergence_assets.api.metrics.ip_address", lambda address: NotHere())
        assert service.client.get("/metrics").status_code == 404
        assert service.client.get("/metrics", headers={"authorization": f"Bearer {token}x"}).status_code == 404
        answer = service.client.get("/metrics", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert "http_requests_total" in answer.text
        assert service.client.get("/admin/tenants", headers={"x-admin-key": token}).status_code == 401
        assert service.client.get("/api/v1/pipelines", headers={"x-api-key": token}).status_code == 401


class NotHere:
    is_loopback = False
