"""What people read and receivers get, as it arrived there."""

from collections.abc import Callable
from pathlib import Path

import apprise.plugins.slack
import pytest

from convergence_assets.alerting.links import Links
from convergence_assets.alerting.routes import Route, Routes
from tests.alerting.desk import Desk, failed, platform, to
from tests.alerting.golden import same
from tests.alerting.receivers import Mailbox, Receiver


def text(desk: Desk, number: int = -1) -> str:
    message = desk.messages()[number]
    return f"{message.title}\n\n{message.body}"


def test_a_single_incident(desk: Desk) -> None:
    desk.raise_(failed(table="daily_cost"))
    desk.settle()
    same("single.txt", text(desk))


def test_an_incident_of_the_platform(desk: Desk) -> None:
    desk.raise_(platform())
    desk.settle()
    same("platform.txt", text(desk))


def test_a_group_lists_the_first_twenty(desk: Desk) -> None:
    desk.raise_(*(failed(f"tenant{n:02}") for n in range(23)))
    desk.settle()
    same("group.txt", text(desk))


def test_a_repeat_says_how_often_it_was_seen_since(desk: Desk) -> None:
    desk.raise_(failed())
    desk.settle()
    for _ in range(41):
        desk.raise_(failed())
    desk.tick(4 * 3600)
    same("repeat.txt", text(desk))


def test_an_update_names_those_that_are_new(desk: Desk) -> None:
    desk.raise_(failed("tenant00"))
    desk.settle()
    desk.raise_(failed("tenant01"), failed("tenant02"))
    desk.tick(300)
    same("update.txt", text(desk))


def test_an_end_and_the_end_of_a_group(desk: Desk) -> None:
    one, several = failed(), [failed(f"tenant{n:02}", cause="access_denied") for n in range(2)]
    desk.raise_(one, *several)
    desk.settle()
    desk.pass_(2 * 3600)
    desk.resolve(one, *several)
    desk.tick()
    found = {len(message.subjects): n for n, message in enumerate(desk.messages()) if message.action == "resolve"}
    same("resolved.txt", text(desk, found[1]))
    same("group_resolved.txt", text(desk, found[2]))


def test_a_message_that_stands_in_for_a_broken_route(desk: Desk) -> None:
    def missing() -> str:
        raise LookupError("environment variable ACME__SLACK_URL is not set")

    desk.routes = Routes({"acme": (Route(("critical",), missing),)}, desk.routes.platform)
    desk.raise_(failed())
    desk.settle()
    same("instead.txt", text(desk))


def test_pagerduty_is_told_of_trigger_acknowledgement_and_end(desk: Desk, receiver: Receiver) -> None:
    desk.raise_(failed())
    desk.settle()
    desk.acknowledge(failed())
    desk.tick()
    desk.resolve(failed())
    desk.tick()
    assert [path for path, _ in receiver.got] == ["/v2/enqueue"] * 3
    for name, body in zip(("trigger", "acknowledge", "resolve"), receiver.bodies, strict=True):
        same(f"pagerduty_{name}.json", body)


def test_slack(desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise.plugins.slack.NotifySlack, "webhook_url", f"http://{receiver.place}/services")
    desk.routes = Routes({}, to("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"))
    desk.raise_(failed(happened="Row <script> & *more* said `no`."))
    desk.settle()
    desk.resolve(failed())
    desk.tick()
    assert [path for path, _ in receiver.got] == ["/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"] * 2
    for name, body in zip(("trigger", "resolve"), receiver.bodies, strict=True):
        for attachment in body["attachments"]:
            attachment.pop("ts", None)
        same(f"slack_{name}.json", body)


def test_a_webhook(desk: Desk, receiver: Receiver) -> None:
    desk.routes = Routes({}, to(f"json://{receiver.place}/hook"))
    desk.raise_(failed())
    desk.settle()
    assert receiver.got[0][0] in ("/hook", "/hook/")
    same("webhook.json", receiver.bodies[0])


def test_an_e_mail(desk: Desk, mailbox: Mailbox) -> None:
    url = f"mailto://127.0.0.1:{mailbox.port}?from=alerts@example.com&to=oncall@example.com&mode=insecure&format=text"
    desk.routes = Routes({}, to(url))
    desk.raise_(failed(title="acme: gcp_billing of 2026-10-01 failed – Überlauf"))
    desk.settle()
    (message,) = mailbox.got
    body = message.get_body(("plain",))
    assert body is not None
    same("email.txt", f"To: {message['To']}\nSubject: {message['Subject']}\n\n{body.get_content()}")


def test_what_an_alert_says_is_never_markup_in_an_e_mail(desk: Desk, mailbox: Mailbox) -> None:
    url = f"mailto://127.0.0.1:{mailbox.port}?from=alerts@example.com&to=oncall@example.com&mode=insecure"
    desk.routes = Routes({}, to(url, f"{url}&format=html"))
    desk.raise_(failed(happened="<script>alert(1)</script>"))
    desk.settle()
    bodies = {body.get_content_type(): body.get_content() for mail in mailbox.got if (body := mail.get_body())}
    assert set(bodies) == {"text/plain", "text/html"}
    assert "<script>" not in bodies["text/html"]
    assert "&lt;script&gt;" in bodies["text/html"]


def test_a_mail_server_that_is_away_gets_it_later(desk: Desk, mailbox: Mailbox) -> None:
    desk.routes = Routes({}, to(f"mailto://127.0.0.1:{mailbox.port}?from=a@example.com&to=b@example.com&mode=insecure"))
    desk.routes, kept = (
        Routes({}, to("mailto://127.0.0.1:1?from=a@example.com&to=b@example.com&mode=insecure")),
        desk.routes,
    )
    desk.raise_(failed())
    desk.tick(0)
    assert list(desk.tick(30).failures) == ["platform/routes[0]"]
    desk.routes = kept
    desk.tick(30)
    assert len(mailbox.got) == 1


def test_a_very_long_error_is_cut_and_its_title_is_one_line(desk: Desk) -> None:
    desk.raise_(failed(title="one\ntwo " + "x" * 5000, happened="y" * 100_000))
    desk.settle()
    message = desk.messages()[0]
    assert "\n" not in message.title
    assert len(message.title) <= 250
    assert len(message.body) < 2500


def test_links_hold_what_a_url_may_hold_and_none_where_no_place_is_known() -> None:
    links = Links("https://dagster.example/base/", "https://docs.example/RUNBOOK.md")
    assert links.run("a/b") == "https://dagster.example/base/runs/a%2Fb"
    assert (
        links.asset("acme", "gcp_billing", "daily cost")
        == "https://dagster.example/base/assets/acme/gcp_billing/daily%20cost"
    )
    assert links.runbook("run-failed") == "https://docs.example/RUNBOOK.md#run-failed"
    assert (Links().run("x"), Links().asset("a", "b", "c"), Links().runbook("x")) == (None, None, "docs/RUNBOOK.md#x")


def test_an_address_that_no_channel_has_is_a_failure_that_says_so(
    tmp_path: Path, receivers: Callable[[], Receiver]
) -> None:
    desk = Desk(f"sqlite:///{tmp_path}/control.db", Routes({}, to("nonsense://x", "pagerduty://", "alertmanager://")))
    desk.raise_(failed())
    desk.tick(0)
    assert desk.tick(30).failures == {
        "platform/routes[0]": "the address is none that Apprise understands",
        "platform/routes[1]": "a PagerDuty route is written pagerduty://ROUTING_KEY",
        "platform/routes[2]": "an Alertmanager route is written alertmanager://host:9093",
    }
