"""`convergence serve` told to end while it is busy: what it has accepted it finishes."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import sqlalchemy as sa

from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import api_requests
from convergence_assets.settings import Settings
from tests.api.service import tenants_at
from tests.assets.project import Project
from tests.clean_environment import clean_environment
from tests.commands import convergence
from tests.ports import free_port

COMMAND = Path(sys.executable).parent / "convergence"


def settings_at(folder: Path) -> Settings:
    return replace(Project.at(folder / "home").settings, tenants=str(tenants_at(folder / "tenants")))


class Served(NamedTuple):
    """`log` is what it writes, a file: nobody reads a pipe while it is under load."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path


@contextmanager
def served(settings: Settings, preexec_fn: Callable[[], None] | None = None, **more: str) -> Iterator[Served]:
    port = free_port()
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(settings.home), "CONVERGENCE_TENANTS": settings.tenants,
        "CONVERGENCE_API_PER_MINUTE": "10000000", "CONVERGENCE_API_PER_HOUR": "100000000",
    } | more  # fmt: skip
    words: list[str | Path] = [COMMAND, "serve", "--port", str(port)]
    log, url = settings.home / f"serve-{port}.log", f"http://127.0.0.1:{port}"
    with log.open("wb") as written:
        process = subprocess.Popen(
            words, env=environ, stdout=written, stderr=subprocess.STDOUT, cwd=settings.home, preexec_fn=preexec_fn
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/health/live")
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield Served(process, url, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@pytest.mark.live
def test_told_to_end_under_load_it_loses_no_accepted_request(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    store = ControlStore.open(settings, {})
    secret = Keys(store).create("acme", "test").secret
    answers: Counter[str] = Counter()
    accepted: list[str] = []
    days = iter(range(10_000))
    stop = threading.Event()

    def load(url: str) -> None:
        with httpx.Client(base_url=url, timeout=30, headers={"x-api-key": secret}) as client:
            while not stop.is_set():
                try:
                    day = date(2026, 4, 1) + timedelta(days=next(days) % 200)
                    answer = client.post("/api/v1/pipelines/demo_costs/runs", json={"partition": str(day)})
                    answers[str(answer.status_code)] += 1
                    if answer.status_code == 202:
                        accepted.append(answer.json()["request_id"])
                    answer = client.get("/api/v1/pipelines/executions")
                    answers[str(answer.status_code)] += 1
                except httpx.ConnectError:
                    answers["not taken"] += 1
                    return
                except httpx.TransportError as error:
                    answers[f"lost: {error!r}"] += 1

    with served(settings) as (process, url, written):
        threads = [threading.Thread(target=load, args=(url,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        before = answers.total()
        process.send_signal(signal.SIGTERM)
        process.wait(25)
        stop.set()
        for thread in threads:
            thread.join(30)
    log = written.read_text()
    assert process.returncode == 0, log
    assert before > 20, "it was busy"
    assert not [name for name in answers if name.startswith(("lost", "5"))], answers
    assert answers["not taken"] == len(threads)
    with store.read() as connection:
        kept = set(connection.scalars(sa.select(api_requests.c.request_id)))
    assert accepted
    assert set(accepted) <= kept
    assert secret not in log
    assert secret.split("_", 2)[2] not in log


@pytest.mark.live
def test_a_request_in_flight_gets_its_answer(tmp_path: Path) -> None:
    """It waits for another's transaction while the process is told to end."""
    settings = settings_at(tmp_path)
    store = ControlStore.open(settings, {})
    secret = Keys(store).create("acme", "test").secret
    found: list[httpx.Response] = []

    def ask(url: str) -> None:
        partition, headers = {"partition": "2026-04-02"}, {"x-api-key": secret}
        found.append(httpx.post(f"{url}/api/v1/pipelines/demo_costs/runs", json=partition, headers=headers, timeout=30))

    with served(settings) as (process, url, _):
        asking = threading.Thread(target=ask, args=(url,))
        with store.write():
            asking.start()
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            time.sleep(3)
            assert process.poll() is None
        asking.join(30)
        assert process.wait(20) == 0
    assert [answer.status_code for answer in found] == [202]


@pytest.mark.slow
def test_what_stops_it_from_serving_is_one_line(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    environ = clean_environment() | {"CONVERGENCE_HOME": str(settings.home), "CONVERGENCE_TENANTS": settings.tenants}
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        for variables, words in (
            ({}, f"port {port} on 127.0.0.1: Address already in use"),
            ({"CONVERGENCE_ADMIN_KEY": "short"}, "CONVERGENCE_ADMIN_KEY is shorter than 16 characters"),
            ({"REDIS_URL": "http://nowhere"}, "REDIS_URL is no address of Redis"),
            ({"API_PORT": "many"}, "API_PORT='many'"),
        ):
            done = convergence("serve", "--port", port, environ=environ | variables, folder=tmp_path)
            assert done.returncode == 2, done.stderr
            assert words in done.stderr.replace("\n", " ")
            assert "Traceback" not in done.stderr
            assert "short\n" not in done.stderr
