"""PagerDuty: Events API v2 (https://developer.pagerduty.com/docs/send-alert-event)."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from convergence_assets.alerting.channels import FOR_PEOPLE, DeliveryFailed
from convergence_assets.alerting.channels.posting import post
from convergence_assets.alerting.message import Message, Subject

# Limits of the API: characters of a summary, and bytes of an event (512 KB, of which its details get what is left).
_SUMMARY, _BODY = 1024, 20_000
_LISTED = 50
_ACTIONS = {"acknowledge": "acknowledge", "resolve": "resolve"}


@dataclass(frozen=True)
class PagerDuty:
    """`pagerduty://ROUTING_KEY[@host[:port]]`; `pagerduty+http://` for a receiver without TLS."""

    url: str
    host: str
    routing_key: str = field(repr=False)
    takes: Collection[str] = FOR_PEOPLE | {"acknowledge"}
    refresh_after: timedelta | None = None
    seconds_between: float = 0.0

    @classmethod
    def at(cls, url: str) -> "PagerDuty":
        parts = urlsplit(url)
        before, _, after = parts.netloc.rpartition("@")
        key, host = (before, after) if before else (after, "events.pagerduty.com")
        scheme = "http" if parts.scheme.endswith("+http") else "https"
        if not key or not host:
            raise ValueError("a PagerDuty route is written pagerduty://ROUTING_KEY")
        return cls(f"{scheme}://{host}/v2/enqueue", host, unquote(key))

    def send(self, message: Message) -> None:
        try:
            post(self.url, event(message, self.routing_key), f"PagerDuty ({self.host})")
        except DeliveryFailed as failed:
            reason = str(failed).replace(self.routing_key, "***")
            raise DeliveryFailed(
                reason, refused=failed.refused, retry_after_seconds=failed.retry_after_seconds
            ) from None


def event(message: Message, routing_key: str) -> dict[str, Any]:
    """The event for this message; an acknowledgement and a resolve need only its key."""
    action = _ACTIONS.get(message.action, "trigger")
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": message.dedup_key[:255],
    }
    if action != "trigger":
        return body
    first = message.subjects[0]
    one = len(message.subjects) == 1
    return body | {
        "client": "Convergence",
        "payload": {
            "summary": message.title[:_SUMMARY],
            "source": "/".join(part for part in (first.tenant_id, first.pipeline) if part) if one else "convergence",
            "severity": message.severity,
            "timestamp": min(subject.started_at for subject in message.subjects),
            "component": first.pipeline if one and first.pipeline else "convergence",
            "group": first.tenant_id if one and first.tenant_id else "platform",
            "class": message.kind,
            "custom_details": {
                "text": message.body[:_BODY],
                "cause": message.cause,
                "incidents": len(message.subjects),
                "runbook": message.runbook,
                "list": [_line(subject) for subject in message.subjects[:_LISTED]],
            },
        },
        "links": [{"href": url, "text": text} for text, url in message.links],
    }


def _line(subject: Subject) -> str:
    parts = (subject.tenant_id, subject.pipeline, subject.partition, subject.table, subject.run_id)
    return " / ".join(part for part in parts if part) or "platform"
