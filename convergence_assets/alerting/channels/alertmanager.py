"""Prometheus Alertmanager: API v2 (https://prometheus.io/docs/alerting/latest/alerts_api/)."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from convergence_assets.alerting.channels import FOR_PEOPLE
from convergence_assets.alerting.channels.posting import post
from convergence_assets.alerting.message import Message, Subject

# Alertmanager keeps alerts in memory only and expects its clients to send them repeatedly. An alert survives an hour
# without a refresh: long enough for an upgrade, and not for ever if its end can never be sent.
REFRESH_AFTER = timedelta(minutes=3)
LASTS = timedelta(hours=1)


@dataclass(frozen=True)
class Alertmanager:
    """`alertmanager://[user:password@]host[:port][/prefix]`; `alertmanagers://` speaks TLS.

    Each incident is an alert of its own there: grouping, silences and its own routes are Alertmanager's work.
    """

    url: str
    host: str
    auth: tuple[str, str] | None = field(repr=False, default=None)
    takes: Collection[str] = FOR_PEOPLE | {"refresh"}
    refresh_after: timedelta | None = REFRESH_AFTER
    seconds_between: float = 0.0

    @classmethod
    def at(cls, url: str) -> "Alertmanager":
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        if not host:
            raise ValueError("an Alertmanager route is written alertmanager://host:9093")
        name, _, password = user.partition(":")
        scheme = "https" if parts.scheme == "alertmanagers" else "http"
        auth = (unquote(name), unquote(password)) if user else None
        return cls(f"{scheme}://{host}{parts.path.rstrip('/')}/api/v2/alerts", host, auth)

    def send(self, message: Message) -> None:
        post(self.url, alerts(message), f"Alertmanager ({self.host})", self.auth)


def alerts(message: Message) -> list[dict[str, Any]]:
    """An alert for each incident. An open one ends `LASTS` after the message, unless it is sent again before."""
    lasts_until = datetime.fromisoformat(message.sent_at) + LASTS
    return [_alert(message, subject, f"{lasts_until:%Y-%m-%dT%H:%M:%SZ}") for subject in message.subjects]


def _alert(message: Message, subject: Subject, lasts_until: str) -> dict[str, Any]:
    labels = {
        "alertname": message.kind,
        "severity": message.severity,
        "service": "convergence",
        "fingerprint": subject.fingerprint,
        "cause": message.cause,
        "tenant": subject.tenant_id,
        "pipeline": subject.pipeline,
        "partition": subject.partition,
        "table": subject.table,
    }
    body: dict[str, Any] = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": subject.title, "description": subject.happened, "runbook_url": message.runbook},
        "startsAt": subject.started_at,
        "endsAt": subject.ended_at or lasts_until,
    }
    return body | ({"generatorURL": subject.url} if subject.url else {})
