"""Which incidents become messages: once, in groups, again after a while, and at their end."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from convergence_assets.alerting.alert import Alert
from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.control import incidents
from tests.alerting.desk import ALL, Desk, failed, platform, to
from tests.alerting.receivers import Receiver

HOUR = 3600


def tenants(desk: Desk, receiver: Receiver, count: int) -> None:
    """Each of `t0`, `t1`... with a route of its own."""
    url = f"pagerduty+http://KEY@{receiver.place}"
    desk.routes = Routes({f"t{n}": to(url) for n in range(count)}, desk.routes.platform)


def test_a_hundred_tenants_of_one_cause_are_one_message_to_the_platform(desk: Desk, receiver: Receiver) -> None:
    desk.raise_(*(failed(f"t{n:02}") for n in range(100)))
    desk.settle()
    assert len(receiver.bodies) == 1
    message = desk.messages()[0]
    assert message.title == "[critical] 100 × run failed (unavailable), 100 tenants"
    assert len(message.subjects) == 100
    assert message.body.count("\n- ") == 21
    assert "and 80 more" in message.body


def test_a_hundred_tenants_with_routes_of_their_own_are_told_one_each(desk: Desk, receiver: Receiver) -> None:
    tenants(desk, receiver, 100)
    desk.raise_(*(failed(f"t{n}") for n in range(100)))
    desk.settle()
    assert len(receiver.bodies) == 100
    assert len({body["dedup_key"] for body in receiver.bodies}) == 100


def test_another_kind_cause_or_severity_is_another_message(desk: Desk) -> None:
    desk.raise_(
        failed("a"), failed("b", cause="access_denied"), failed("c", kind="quality_failed"),
        failed("d", severity="warning"),
    )  # fmt: skip
    desk.settle()
    assert desk.actions() == ["trigger"] * 4


def test_what_is_seen_again_is_counted_and_told_after_the_repeat_interval(desk: Desk) -> None:
    desk.raise_(failed())
    desk.settle()
    for _ in range(3):
        desk.raise_(failed())
        desk.tick(HOUR)
    assert desk.actions() == ["trigger"]
    desk.tick(HOUR)
    assert desk.actions() == ["trigger", "repeat"]
    assert "Seen 3 more times since 2026-10-01T06:00:30Z; it lasts for 4 h." in desk.messages()[1].body
    desk.tick(4 * HOUR - 1)
    assert desk.actions() == ["trigger", "repeat"]
    desk.tick(1)
    assert desk.actions() == ["trigger", "repeat", "repeat"]
    assert "more time" not in desk.messages()[2].body


def test_a_warning_is_told_again_after_a_day_and_information_never(desk: Desk) -> None:
    desk.raise_(failed("a", severity="warning"), failed("b", severity="info"))
    desk.settle()
    desk.tick(24 * HOUR - 1)
    assert desk.actions() == ["trigger", "trigger"]
    desk.tick(1)
    assert [(m.action, m.severity) for m in desk.messages()[2:]] == [("repeat", "warning")]
    desk.tick(60 * 24 * HOUR)
    assert all(m.severity == "warning" for m in desk.messages()[2:])


def test_its_end_is_told_once(desk: Desk, receiver: Receiver) -> None:
    desk.raise_(failed())
    desk.settle()
    desk.pass_(600)
    desk.resolve(failed())
    for _ in range(5):
        desk.tick()
    assert [body["event_action"] for body in receiver.bodies] == ["trigger", "resolve"]
    assert len({body["dedup_key"] for body in receiver.bodies}) == 1
    assert "Resolved after 11 min: the partition is published" in desk.messages()[1].body


def test_what_ends_before_it_was_told_is_not_told_at_all(desk: Desk) -> None:
    desk.raise_(failed())
    desk.tick(10)
    desk.resolve(failed())
    for _ in range(5):
        desk.tick()
    assert desk.actions() == []


def test_what_opens_again_is_told_as_something_new(desk: Desk, receiver: Receiver) -> None:
    desk.raise_(failed())
    desk.settle()
    desk.resolve(failed())
    desk.raise_(failed())
    desk.settle()
    assert [body["event_action"] for body in receiver.bodies] == ["trigger", "resolve", "trigger"]
    keys = [body["dedup_key"] for body in receiver.bodies]
    assert keys[0] == keys[1] != keys[2]


def test_later_ones_are_told_together_after_the_group_interval(desk: Desk) -> None:
    desk.raise_(failed("a"))
    desk.settle()
    desk.raise_(failed("b"))
    desk.tick(60)
    desk.raise_(failed("c"))
    desk.tick(60)
    assert desk.actions() == ["trigger"]
    desk.tick(180)
    assert desk.actions() == ["trigger", "update"]
    update = desk.messages()[1]
    assert update.title == "[critical, more] 3 × run failed (unavailable), 3 tenants"
    assert "2 more since 2026-10-01T06:00:30Z, 3 in all." in update.body
    assert "- a " not in update.body
    assert "- b " in update.body
    assert "- c " in update.body


def test_a_group_ends_when_all_of_it_have_ended(desk: Desk) -> None:
    desk.raise_(failed("a"), failed("b"))
    desk.settle()
    desk.resolve(failed("a"))
    desk.tick(600)
    assert desk.actions() == ["trigger"]
    desk.resolve(failed("b"))
    desk.tick()
    assert desk.actions() == ["trigger", "resolve"]
    assert {subject.tenant_id for subject in desk.messages()[1].subjects} == {"a", "b"}


def test_one_that_joined_and_was_not_told_of_yet_begins_a_group_of_its_own(desk: Desk) -> None:
    desk.raise_(failed("a"))
    desk.settle()
    desk.raise_(failed("b"))
    desk.tick()
    desk.resolve(failed("a"))
    desk.settle()
    assert [(m.action, [s.tenant_id for s in m.subjects]) for m in desk.messages()] == [
        ("trigger", ["a"]), ("resolve", ["a"]), ("trigger", ["b"]),
    ]  # fmt: skip


def test_what_is_seen_to_is_not_told_again_and_pagerduty_knows(desk: Desk, receiver: Receiver) -> None:
    desk.raise_(failed())
    desk.settle()
    desk.acknowledge(failed())
    desk.raise_(failed())
    for _ in range(3):
        desk.tick(5 * HOUR)
    desk.resolve(failed())
    desk.tick()
    assert [body["event_action"] for body in receiver.bodies] == ["trigger", "acknowledge", "resolve"]


def test_what_comes_after_somebody_saw_to_the_first_is_told_by_itself(desk: Desk) -> None:
    desk.raise_(failed("a"))
    desk.settle()
    desk.acknowledge(failed("a"))
    desk.tick()
    desk.raise_(failed("b"))
    desk.settle()
    assert [(m.action, m.subjects[0].tenant_id) for m in desk.messages()] == [
        ("trigger", "a"), ("acknowledge", "a"), ("trigger", "b"),
    ]  # fmt: skip


def test_one_that_becomes_critical_is_told_as_critical_and_is_over_as_a_warning(
    desk: Desk, receivers: Callable[[], Receiver]
) -> None:
    slack = receivers()
    desk.routes = Routes({}, (*desk.routes.platform, *to(f"json://{slack.place}/", severities=["warning"])))
    desk.raise_(failed(severity="warning"))
    desk.settle()
    desk.acknowledge(failed())
    desk.raise_(failed())
    desk.settle()
    sent = [(m.action, m.severity) for m in desk.messages()]
    assert sent.count(("trigger", "critical")) == 1
    assert sent.count(("resolve", "warning")) == 2
    assert "it is critical now" in slack.bodies[-1]["message"]
    with desk.store.read() as connection:
        assert incidents.open_incidents(connection)[0].acknowledged_by is None


@pytest.mark.parametrize(
    ("larger", "follows"),
    [
        (platform(), failed(kind="partition_late")),
        (platform(), failed(kind="run_stuck", cause="queued")),
        (platform(), failed(kind="ledger_lag")),
        (platform("automation_failing", "warehouse:unavailable"), failed()),
    ],
    ids=["a late partition", "a queued run", "a ledger that lags", "a failed run"],
)
def test_what_follows_from_the_platforms_trouble_is_told_only_if_it_outlasts_it(
    desk: Desk, larger: Alert, follows: Alert
) -> None:
    desk.raise_(larger, follows)
    desk.settle()
    assert [m.kind for m in desk.messages()] == [larger.kind]
    assert desk.decide().muted == (follows.fingerprint,)
    desk.tick(600)
    desk.resolve(larger)
    desk.settle()
    assert [(m.kind, m.action) for m in desk.messages()] == [
        (larger.kind, "trigger"), (larger.kind, "resolve"), (follows.kind, "trigger"),
    ]  # fmt: skip


def test_what_ends_with_the_platforms_trouble_was_never_told(desk: Desk) -> None:
    late = failed(kind="partition_late")
    desk.raise_(platform(), late)
    desk.settle()
    desk.resolve(platform())
    desk.tick()
    desk.resolve(late)
    desk.settle()
    assert {m.kind for m in desk.messages()} == {"daemon_dead"}


def test_what_the_platforms_trouble_does_not_explain_is_told(desk: Desk) -> None:
    desk.raise_(platform(), failed(kind="quality_failed"), failed(kind="run_stuck", cause="no_progress"))
    desk.settle()
    assert {m.kind for m in desk.messages()} == {"daemon_dead", "quality_failed", "run_stuck"}


def test_trouble_of_the_platform_that_nobody_hears_of_mutes_nothing(desk: Desk, receiver: Receiver) -> None:
    late = failed("acme", kind="partition_late")
    desk.routes = Routes({"acme": desk.routes.platform}, ())
    desk.raise_(platform(), late)
    desk.settle()
    assert [m.kind for m in desk.messages()] == ["partition_late"]
    assert desk.decide().no_route == (platform().fingerprint,)


def test_repeats_pause_while_it_is_muted_and_its_end_is_told(desk: Desk) -> None:
    late = failed(kind="partition_late")
    desk.raise_(late)
    desk.settle()
    desk.raise_(platform())
    desk.settle()
    desk.tick(5 * HOUR)
    assert [m.action for m in desk.messages() if m.kind == "partition_late"] == ["trigger"]
    desk.resolve(late)
    desk.tick()
    assert [m.action for m in desk.messages() if m.kind == "partition_late"] == ["trigger", "resolve"]


def test_a_route_takes_its_severities_alone_and_without_one_the_platform_is_told(
    tmp_path: Path, receivers: Callable[[], Receiver]
) -> None:
    own, platforms = receivers(), receivers()
    routes = Routes({"acme": to(f"json://{own.place}/", severities=["critical"])}, to(f"json://{platforms.place}/"))
    desk = Desk(f"sqlite:///{tmp_path}/control.db", routes)
    desk.raise_(failed(), failed(severity="warning", partition="2026-10-02"))
    desk.raise_(failed(kind="config_rejected", partition="2026-10-03"), failed("globex", partition="2026-10-04"))
    desk.settle()
    assert [body["title"].split(":")[0] for body in own.bodies] == ["[critical] acme", "[critical] acme"]
    assert sorted(body["title"].split(" of ")[1] for body in platforms.bodies) == [
        "2026-10-02 failed", "2026-10-03 failed", "2026-10-04 failed",
    ]  # fmt: skip


def test_a_tenants_route_without_its_secret_falls_back_to_the_platform_and_says_so(desk: Desk) -> None:
    def missing() -> str:
        raise LookupError("environment variable ACME__SLACK_URL is not set")

    desk.routes = Routes({"acme": (Route(ALL, missing),)}, desk.routes.platform)
    desk.raise_(failed())
    desk.settle()
    body = desk.messages()[0].body
    assert "Sent here because acme/routes[0]: environment variable ACME__SLACK_URL is not set" in body


def test_two_daemons_that_decide_at_once_tell_once(url: str, receiver: Receiver) -> None:
    from threading import Barrier, Thread

    routes = Routes({}, to(f"pagerduty+http://KEY@{receiver.place}"))
    desk = Desk(url, routes)
    desk.raise_(*(failed(f"t{n}") for n in range(20)))
    for _ in range(2):
        together = Barrier(4)

        def decide(together: Barrier = together) -> None:
            together.wait()
            desk.decide()

        threads = [Thread(target=decide) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        desk.pass_(30)
    assert desk.actions() == ["trigger"]


def test_a_tick_over_a_thousand_open_incidents_asks_no_more_of_the_store_than_one_over_ten(
    desk: Desk, receiver: Receiver
) -> None:
    statements: list[str] = []
    sa.event.listen(desk.store._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    tenants(desk, receiver, 1000)
    spent = []
    for first, last in ((0, 10), (10, 1000)):
        desk.raise_(*(failed(f"t{n}") for n in range(first, last)))
        desk.decide()
        desk.pass_(30)
        desk.decide()
        assert len(desk.actions()) == last
        desk.pass_(30)
        statements.clear()
        desk.decide()
        spent.append(len(statements))
    assert spent[0] == spent[1] > 0


def test_one_that_waits_for_its_group_when_the_platforms_trouble_comes_is_muted_too(desk: Desk) -> None:
    desk.raise_(failed(kind="partition_late"))
    desk.tick(0)
    desk.raise_(platform())
    desk.settle()
    assert {m.kind for m in desk.messages()} == {"daemon_dead"}


def test_one_that_joined_a_group_before_the_platforms_trouble_is_told_of_after_it(desk: Desk) -> None:
    desk.raise_(failed("a", kind="partition_late"))
    desk.settle()
    desk.raise_(failed("b", kind="partition_late"))
    desk.tick(30)
    desk.raise_(platform())
    desk.tick(600)
    assert [m.action for m in desk.messages() if m.kind == "partition_late"] == ["trigger"]
    desk.resolve(platform())
    desk.tick(30)
    assert [m.action for m in desk.messages() if m.kind == "partition_late"] == ["trigger", "update"]
