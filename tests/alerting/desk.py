"""A control store with a clock that tests move, and what sensors do with it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from convergence_assets.alerting.alert import Alert, Kind, Severity
from convergence_assets.alerting.deliver import Delivered, deliver
from convergence_assets.alerting.dispatch import Decided, decide
from convergence_assets.alerting.links import Links
from convergence_assets.alerting.message import Message
from convergence_assets.alerting.routes import Route, Routes
from convergence_assets.control import incidents
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import outbox
from convergence_assets.settings import Settings

BEGIN = datetime(2026, 10, 1, 6, tzinfo=UTC)
LINKS = Links("https://dagster.example", "https://docs.example/RUNBOOK.md")
ALL = ("critical", "warning", "info")


def failed(
    tenant_id: str | None = "acme",
    kind: Kind = "run_failed",
    severity: Severity = "critical",
    cause: str = "unavailable",
    partition: str = "2026-10-01",
    **fields: Any,
) -> Alert:
    """An alert as the sensors raise it."""
    values: dict[str, Any] = {
        "title": f"{tenant_id}: gcp_billing of {partition} failed",
        "happened": "The warehouse did not answer for 120 s (unavailable).",
        "done": "Nothing was published; the day is requested again in 10 min.",
        "next_step": "See whether BigQuery is available.",
        "runbook": "run-failed",
        "pipeline": "gcp_billing",
        "run_id": f"run-{tenant_id}",
    }
    return Alert(kind, severity, tenant_id=tenant_id, cause=cause, partition=partition, **values | fields)


def platform(kind: Kind = "daemon_dead", cause: str = "", **fields: Any) -> Alert:
    values: dict[str, Any] = {
        "title": "The Dagster daemon is dead",
        "happened": "No heartbeat for 6 min.",
        "done": "Nothing can be done from here.",
        "next_step": "Start the daemon.",
        "runbook": "daemon-dead",
    }
    return Alert(kind, "critical", cause=cause, **values | fields)


def to(*urls: str, severities: Sequence[str] = ALL) -> tuple[Route, ...]:
    return tuple(Route(tuple(severities), lambda url=url: url) for url in urls)  # type: ignore[misc]


class Desk:
    """`tick` is what the sensor does: some time passes, then it decides and delivers."""

    def __init__(self, url: str, routes: Routes) -> None:
        self.now = BEGIN
        self.routes = routes
        settings = Settings.from_env({"CONVERGENCE_CONTROL_URL": url, "CONVERGENCE_WAREHOUSE": "embedded"})
        self.store = ControlStore.open(settings, {}, lambda: self.now)

    def raise_(self, *alerts: Alert) -> None:
        with self.store.write() as connection:
            for alert in alerts:
                incidents.raise_alert(connection, alert, self.now)

    def resolve(self, *alerts: Alert) -> None:
        with self.store.write() as connection:
            for alert in alerts:
                assert incidents.resolve_incident(connection, alert.fingerprint, "the partition is published", self.now)

    def acknowledge(self, *alerts: Alert) -> None:
        with self.store.write() as connection:
            assert incidents.acknowledge_incidents(
                connection, [a.fingerprint for a in alerts], "anna", self.now
            ) == len(alerts)

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def decide(self) -> Decided:
        return decide(self.store, self.routes, LINKS)

    def deliver(self) -> Delivered:
        return deliver(self.store, self.routes, pause=self.pass_)

    def tick(self, seconds: float = 30) -> Delivered:
        self.pass_(seconds)
        self.decide()
        return self.deliver()

    def settle(self) -> None:
        """Past the group wait: what is open is told."""
        self.tick(0)
        self.tick(30)

    def messages(self) -> list[Message]:
        """All that were decided, in their order."""
        with self.store.read() as connection:
            found = connection.scalars(sa.select(outbox.c.payload).order_by(outbox.c.id))
            return [Message.from_json(payload) for payload in found]

    def actions(self) -> list[str]:
        return [message.action for message in self.messages()]

    def unsent(self) -> int:
        with self.store.read() as connection:
            return connection.scalar(sa.select(sa.func.count()).where(outbox.c.sent_at.is_(None))) or 0
