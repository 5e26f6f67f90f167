"""A real Alertmanager: it takes what it is sent, tells its receivers, and is told again before it forgets."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from convergence_assets.alerting.channels.alertmanager import alerts
from convergence_assets.alerting.routes import Routes
from tests.alerting.desk import Desk, failed, to
from tests.alerting.golden import same
from tests.alerting.receivers import Alertmanager, Receiver
from tests.tools import program

HOUR = 3600


@pytest.fixture
def alertmanager(tmp_path: Path, receiver: Receiver) -> Iterator[Alertmanager]:
    binary = program("prometheus-alertmanager", "prometheus-alertmanager")
    started = Alertmanager(binary, tmp_path, receiver.place)
    yield started
    started.stop()


def wait_until(true: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_it_fires_and_ends_there(desk: Desk, receiver: Receiver, alertmanager: Alertmanager) -> None:
    desk.now = datetime.now(UTC)  # Alertmanager goes by the clock on the wall
    desk.routes = Routes({}, to(f"alertmanager://127.0.0.1:{alertmanager.port}"))
    desk.raise_(failed("acme"), failed("globex"))
    desk.decide()
    desk.pass_(30)
    desk.decide()
    assert desk.deliver().sent == 1
    found = {alert["labels"]["tenant"]: alert for alert in alertmanager.alerts()}
    assert set(found) == {"acme", "globex"}
    labels = found["acme"]["labels"]
    assert labels == {
        "alertname": "run_failed", "severity": "critical", "service": "convergence", "cause": "unavailable",
        "tenant": "acme", "pipeline": "gcp_billing", "partition": "2026-10-01",
        "fingerprint": failed("acme").fingerprint,
    }  # fmt: skip
    assert found["acme"]["generatorURL"] == "https://dagster.example/runs/run-acme"
    ends_at = datetime.fromisoformat(found["acme"]["endsAt"])
    assert 3500 < (ends_at - datetime.now(UTC)).total_seconds() < 3700
    wait_until(lambda: len(receiver.bodies) == 2)
    assert {body["status"] for body in receiver.bodies} == {"firing"}

    desk.now = datetime.now(UTC)
    desk.resolve(failed("acme"), failed("globex"))
    desk.tick(0)
    wait_until(lambda: [body["status"] for body in receiver.bodies].count("resolved") == 2)
    assert alertmanager.alerts() == []


def test_payloads(desk: Desk) -> None:
    desk.raise_(failed("acme"), failed("globex", table="daily_cost"))
    desk.settle()
    desk.resolve(failed("acme"), failed("globex", table="daily_cost"))
    desk.tick()
    for name, message in zip(("firing", "resolved"), desk.messages(), strict=True):
        same(f"alertmanager_{name}.json", alerts(message))


def test_what_lasts_is_said_again_before_it_is_forgotten_and_nobody_is_bothered(desk: Desk, receiver: Receiver) -> None:
    desk.routes = Routes({}, to(f"alertmanager://{receiver.place}"))
    desk.raise_(failed(severity="info"), failed("globex", severity="info"))
    desk.settle()
    known_until = datetime.fromisoformat(receiver.bodies[-1][0]["endsAt"])
    for n in range(60):
        if n == 30:
            desk.resolve(failed("globex"))
        desk.tick(60)
        assert desk.now < known_until
        known_until = datetime.fromisoformat(receiver.bodies[-1][0]["endsAt"])
    assert set(desk.actions()) == {"trigger", "refresh"}
    assert desk.actions().count("refresh") == 20
    over = {alert["labels"]["tenant"]: alert["endsAt"] for alert in receiver.bodies[-1]}
    assert over["globex"] < f"{desk.now:%Y-%m-%dT%H:%M:%SZ}" < over["acme"]


def test_while_it_is_down_nothing_piles_up(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda body: (503, "", {})
    desk.routes = Routes({}, to(f"alertmanager://{receiver.place}"))
    desk.raise_(failed(severity="info"))
    desk.settle()
    for _ in range(60):
        desk.tick(60)
    assert desk.actions() == ["trigger"]
