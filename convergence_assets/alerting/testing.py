"""Trying the routes: a test message through each, at once and past the outbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from convergence_assets.alerting.channels import DeliveryFailed
from convergence_assets.alerting.message import Message, Subject
from convergence_assets.alerting.routes import Route, Routes, message_of


@dataclass(frozen=True)
class Tried:
    """A route and why it failed; `failure` None: the receiver took the message."""

    key: str
    severities: tuple[str, ...]
    failure: str | None


def try_routes(routes: Routes, owner: str | None = None) -> Iterator[Tried]:
    """Send a test message through every route, or through those of one tenant or of `platform`.

    It is resolved right after, where the receiver knows what that is.
    """
    for key, route in routes.all():
        if owner is None or key.startswith(f"{owner}/"):
            yield Tried(key, route.severities, _failure(key, route))


def _failure(key: str, route: Route) -> str | None:
    try:
        channel = route.channel()
        channel.send(_message(key, resolve=False))
        if "acknowledge" in channel.takes or channel.refresh_after:
            channel.send(_message(key, resolve=True))
    except LookupError as error:
        return message_of(error)
    except (ValueError, DeliveryFailed) as error:
        return str(error)
    return None


def _message(key: str, *, resolve: bool) -> Message:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    title = f"[test] Convergence reaches {key}"
    body = "Somebody ran `convergence alerts test`. Nothing is wrong, and nothing is to be done.\n"
    return Message(
        action="resolve" if resolve else "trigger",
        kind="test",
        severity="info",
        cause="",
        dedup_key=f"convergence-test-{key}",
        title=title,
        body=body,
        runbook="docs/RUNBOOK.md",
        sent_at=now,
        links=(),
        subjects=(Subject(f"test-{key}", title, body.strip(), now, now if resolve else None),),
    )
