"""The outbox: nothing lost, nothing overtaken, nothing twice but what a crash leaves in doubt."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest
import sqlalchemy as sa

from convergence_assets.alerting.deliver import deliver
from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.control import incidents, outbox
from convergence_assets.control.tables import incidents as incidents_table
from convergence_assets.control.tables import outbox as table
from tests.alerting.desk import ALL, Desk, failed, to
from tests.alerting.receivers import Receiver
from tests.clean_environment import clean_environment
from tests.ports import free_port


def pagerduty(receiver: Receiver) -> str:
    return f"pagerduty+http://KEY@{receiver.place}"


def waiting(desk: Desk, count: int) -> None:
    """That many messages of as many notifications, undelivered."""
    desk.raise_(*(failed(f"t{n:03}", cause=f"cause{n:03}") for n in range(count)))
    desk.decide()
    desk.pass_(30)
    desk.decide()
    assert desk.unsent() == count


@pytest.mark.parametrize("how", ["refuses connections", "answers 503"])
def test_a_receiver_that_is_down_for_ten_minutes_gets_everything_afterwards_in_order(
    desk: Desk, receiver: Receiver, how: str
) -> None:
    if how == "answers 503":
        receiver.answer = lambda body: (503, "away", {})
    else:
        receiver.stop()
    for minute in range(10):
        desk.raise_(failed(cause=f"cause{minute}", partition=f"2026-10-{minute + 1:02}"))
        desk.tick(30)
        desk.tick(30)
        if minute == 5:
            desk.resolve(failed(partition="2026-10-01"))
    assert receiver.bodies == []
    if how == "answers 503":
        receiver.answer = lambda body: (202, "", {})
    else:
        receiver.start()
    for _ in range(20):
        desk.tick(30)
    decided = [("resolve" if m.action == "resolve" else "trigger", m.dedup_key) for m in desk.messages()]
    assert len(decided) == 11
    assert [(body["event_action"], body["dedup_key"]) for body in receiver.bodies] == decided
    assert desk.unsent() == 0


def test_a_receiver_that_is_down_is_tried_less_and_less_often(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda body: (503, "away", {})
    waiting(desk, 3)
    for _ in range(720):
        desk.deliver()
        desk.pass_(5)
    # 15, 30, 60, 120, 240, 480, 600, 600, 600, 600 s, each up to a fifth longer.
    assert 9 <= receiver.asked <= 11


def test_a_refused_message_waits_by_itself_and_its_end_waits_behind_it(desk: Desk, receiver: Receiver) -> None:
    refused: set[str] = set()
    receiver.answer = lambda body: (400, "invalid event", {}) if body["dedup_key"] in refused else (202, "", {})
    waiting(desk, 3)
    first = desk.messages()[0].dedup_key
    refused.add(first)
    desk.resolve(*(failed(f"t{n:03}") for n in range(3)))
    desk.tick(1)
    assert len(receiver.bodies) == 4
    assert desk.unsent() == 2
    refused.clear()
    desk.tick(30)
    assert [body["event_action"] for body in receiver.bodies if body["dedup_key"] == first] == ["trigger", "resolve"]


def test_retry_after_is_honoured(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda body: (429, "slow down", {"Retry-After": "300"})
    waiting(desk, 1)
    desk.deliver()
    receiver.answer = lambda body: (202, "", {})
    desk.tick(299)
    assert receiver.bodies == []
    desk.tick(1)
    assert len(receiver.bodies) == 1


def test_slack_gets_one_message_a_second(desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise.plugins.slack

    monkeypatch.setattr(apprise.plugins.slack.NotifySlack, "webhook_url", f"http://{receiver.place}/services")
    desk.routes = Routes({}, to("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"))
    waiting(desk, 5)
    began = desk.now
    assert desk.deliver().sent == 5
    assert (desk.now - began).total_seconds() == 4


def test_a_call_ends_with_its_budget_though_a_receiver_does_not_answer(
    desk: Desk, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    from threading import Event
    from time import monotonic

    monkeypatch.setattr("convergence_assets.alerting.deliver.SEND_TIMEOUT_SECONDS", 1)

    silent, other, end = receivers(), receivers(), Event()
    silent.answer = lambda body: (202, "", {}) if end.wait(30) else (500, "", {})
    desk.routes = Routes({"a": to(pagerduty(silent)), "b": to(pagerduty(other))}, ())
    desk.raise_(failed("a"), failed("b"))
    desk.decide()
    desk.pass_(30)
    desk.decide()
    began = monotonic()
    done = deliver(desk.store, desk.routes, budget_seconds=2)
    took = monotonic() - began
    end.set()
    assert 1 < took < 4
    assert done.sent == 1
    assert len(other.bodies) == 1


def test_after_half_an_hour_of_failures_the_other_routes_are_told(
    tmp_path: Path, receivers: Callable[[], Receiver]
) -> None:
    broken, other = receivers(), receivers()
    broken.answer = lambda body: (503, "away", {})
    desk = Desk(f"sqlite:///{tmp_path}/control.db", Routes({"acme": to(pagerduty(broken))}, to(pagerduty(other))))
    desk.raise_(failed())
    for _ in range(58):
        desk.tick(30)
    assert other.bodies == []
    for _ in range(40):
        desk.tick(30)
    summaries = [body["payload"]["summary"] for body in other.bodies]
    assert summaries == ["[critical] Alerts to acme/routes[0] are not delivered"]
    assert "HTTP 503: away" in other.bodies[0]["payload"]["custom_details"]["text"]
    broken.answer = lambda body: (202, "", {})
    for _ in range(42):
        desk.tick(30)
    assert [body["event_action"] for body in broken.bodies] == ["trigger"]
    assert [body["event_action"] for body in other.bodies] == ["trigger", "resolve"]


def test_the_only_route_when_it_is_broken_is_not_told_of_itself(desk: Desk, receiver: Receiver) -> None:
    receiver.answer = lambda body: (503, "away", {})
    desk.raise_(failed())
    for _ in range(100):
        desk.tick(30)
    with desk.store.read() as connection:
        assert [i.kind for i in incidents.open_incidents(connection)] == ["run_failed", "delivery_failing"]
    assert len(desk.decide().no_route) == 1
    assert desk.actions() == ["trigger"]


def test_a_message_whose_route_is_gone_waits_and_its_incident_is_told_elsewhere(
    desk: Desk, receivers: Callable[[], Receiver]
) -> None:
    own, platforms = receivers(), receivers()
    own.answer = lambda body: (503, "away", {})
    routes = Routes({"acme": to(pagerduty(own))}, to(pagerduty(platforms)))
    desk.routes = routes
    desk.raise_(failed())
    desk.settle()
    desk.routes = Routes({}, routes.platform)
    desk.settle()
    assert len(platforms.bodies) == 1
    desk.resolve(failed())
    desk.tick()
    own.answer = lambda body: (202, "", {})
    desk.routes = routes
    desk.tick(600)
    assert [body["event_action"] for body in own.bodies] == ["trigger", "resolve"]


def test_what_is_sent_and_not_marked_is_sent_once_more_and_never_again(url: str, receiver: Receiver) -> None:
    desk = Desk(url, Routes({}, to(pagerduty(receiver))))
    waiting(desk, 3)
    # What a process leaves that is killed between the receiver's answer and its own note of it.
    with desk.store.write() as connection:
        message = outbox.claim_next(connection, "platform/routes[0]", "killed", desk.now)
    assert message is not None
    receiver.got.append(("/v2/enqueue", json.loads(message.payload)))
    desk.tick(59)
    assert len(receiver.got) == 1, "its lease holds, and nothing overtakes it"
    desk.tick(1)
    desk.tick(60)
    keys = [body["dedup_key"] for body in receiver.bodies]
    assert len(keys) == 4
    assert len(set(keys)) == 3
    with desk.store.write() as connection:
        assert not outbox.mark_sent(connection, message, "killed", desk.now)


def test_threads_that_deliver_at_once_send_each_message_once(url: str, receivers: Callable[[], Receiver]) -> None:
    count = 12
    one, two = receivers(), receivers()
    desk = Desk(url, Routes({"a": to(pagerduty(one)), "b": to(pagerduty(two))}, ()))
    desk.raise_(*(failed(t, cause=f"{n}", partition=f"day {n}") for n in range(count) for t in ("a", "b")))
    desk.decide()
    desk.pass_(30)
    desk.decide()
    together = Barrier(3)

    def deliver_them() -> None:
        together.wait()
        desk.deliver()

    threads = [Thread(target=deliver_them) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    desk.deliver()
    for receiver in (one, two):
        keys = [body["dedup_key"] for body in receiver.bodies]
        assert len(keys) == len(set(keys)) == count


DELIVERING = """
import sys
from convergence_assets.alerting.deliver import deliver
from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
store = ControlStore.open(Settings.from_env({"CONVERGENCE_CONTROL_URL": sys.argv[1]}), {})
print("ready", flush=True)
sys.stdin.readline()
deliver(store, Routes({}, (Route(("critical",), lambda: sys.argv[2]),)))
"""


def test_two_processes_one_of_them_killed_send_everything_and_at_most_one_twice(url: str, receiver: Receiver) -> None:
    desk = Desk(url, Routes({}, to(pagerduty(receiver))))
    waiting(desk, 20)
    command = [sys.executable, "-c", DELIVERING, url, pagerduty(receiver)]
    started = [
        subprocess.Popen(command, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    victim, survivor = started

    def kill_at_the_seventh(body: object) -> tuple[int, str, dict[str, str]]:
        if receiver.asked == 7:
            victim.kill()
        return 202, "", {}

    receiver.answer = kill_at_the_seventh
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    victim.wait(timeout=60)
    survivor.communicate(timeout=60)
    assert victim.stdout
    victim.stdout.close()
    with desk.store.write() as connection:  # the real clock wrote these leases, and they run out a minute later
        connection.execute(sa.update(table).values(leased_until=None))
    desk.pass_(365 * 86400)
    desk.deliver()
    keys = [body["dedup_key"] for body in receiver.bodies]
    assert len(set(keys)) == 20
    assert len(keys) <= 21
    assert desk.unsent() == 0


def test_secrets_are_neither_stored_nor_logged_nor_said(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import apprise.plugins.slack

    secret = "S3cretT0kenS3cretT0kenXY"
    receiver.answer = lambda body: (400, f"no such key {body.get('routing_key')}", {})
    closed = free_port()
    monkeypatch.setattr(apprise.plugins.slack.NotifySlack, "webhook_url", f"http://127.0.0.1:{closed}/services")
    urls = [
        f"pagerduty+http://{secret}@{receiver.place}",
        f"pagerduty+http://{secret}@127.0.0.1:{closed}",
        f"alertmanager://me:{secret}@127.0.0.1:{closed}",
        f"json://me:{secret}@{receiver.place}/{secret}",
        f"json://me:{secret}@127.0.0.1:{closed}/{secret}",
        f"mailto://me:{secret}@127.0.0.1:{closed}?from=a@example.com&to=b@example.com&mode=insecure",
        f"slack://T1JJ3T3L2/A1BRTD4JD/{secret}",
        f"nonsense://{secret}",
        f"{secret}",
        f"pagerduty://{secret}@",
    ]
    desk = Desk(f"sqlite:///{tmp_path}/control.db", Routes({}, to(*urls)))
    assert secret not in repr(desk.routes)
    desk.raise_(failed())
    with caplog.at_level(logging.DEBUG):
        desk.tick(0)
        failures = desk.tick(30).failures
        for _ in range(10):
            desk.tick(600)
    assert set(failures) >= {f"platform/routes[{n}]" for n in range(len(urls))}
    with desk.store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(incidents_table)).scalar_one() > 1
    assert secret not in str(failures)
    assert [record for record in caplog.records if secret in record.getMessage()] == []
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"platform/routes[5]" in stored
    assert secret.encode() not in stored


def test_a_route_without_its_secret_is_tried_until_it_has_one(desk: Desk, receiver: Receiver) -> None:
    environ: dict[str, str] = {}
    desk.routes = Routes({}, (Route(ALL, lambda: environ["PAGERDUTY"]),))
    desk.raise_(failed())
    desk.tick(0)
    assert desk.tick(30).failures == {"platform/routes[0]": "PAGERDUTY"}
    environ["PAGERDUTY"] = pagerduty(receiver)
    desk.tick(30)
    assert len(receiver.bodies) == 1


def test_one_message_that_is_always_refused_is_one_incident_though_others_pass(
    tmp_path: Path, receivers: Callable[[], Receiver]
) -> None:
    own, other = receivers(), receivers()
    own.answer = lambda body: (400, "invalid event", {}) if "poison" in json.dumps(body) else (202, "", {})
    desk = Desk(f"sqlite:///{tmp_path}/control.db", Routes({"acme": to(pagerduty(own))}, to(pagerduty(other))))
    desk.raise_(failed(cause="poison"))
    for n in range(60):
        desk.raise_(failed(cause=f"cause{n}", partition=f"day {n}"))
        desk.tick(60)
    assert [body["event_action"] for body in other.bodies] == ["trigger"]
    assert len(own.bodies) >= 59
