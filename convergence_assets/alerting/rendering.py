"""Incidents to the text that people read: the templates of `templates/`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from convergence_assets.alerting.links import Links
from convergence_assets.alerting.message import Message, Subject

if TYPE_CHECKING:
    from jinja2 import Environment

    from convergence_assets.control.incidents import Incident
    from convergence_assets.control.outbox import Action

LISTED = 20
_LONGEST = 1500
_LONGEST_LINE = 200


@dataclass(frozen=True)
class Telling:
    """What a message is about: `lasting`, the open incidents (`new` are those sent for the first time), and `over`,
    those that were sent and have ended.

    `more` is how often they were seen since `told_at`; `instead_of` says which routes the destination replaces.
    """

    action: "Action"
    kind: str
    cause: str
    severity: str
    dedup_key: str
    lasting: "Sequence[Incident]"
    new: "Sequence[Incident]"
    over: "Sequence[Incident]"
    told_at: datetime | None
    more: int
    instead_of: tuple[str, ...]


def render(telling: Telling, links: Links, now: datetime) -> Message:
    """The message; its title is one line of at most 250 characters."""
    incidents = telling.over if telling.action == "resolve" else telling.lasting
    shown = sorted(telling.new or incidents, key=_order)
    first, several = shown[0], len(incidents) > 1
    since = min(incident.opened_at for incident in incidents)
    values = {
        "action": telling.action,
        "kind": telling.kind,
        "cause": telling.cause,
        "severity": telling.severity,
        "incidents": incidents,
        "new": telling.new,
        "listed": shown,
        "first": first,
        "told_at": telling.told_at and moment(telling.told_at),
        "more": telling.more,
        "instead_of": telling.instead_of,
        "lasted": duration(now - since),
        "links": links,
        "most": LISTED,
        "example": f", to {_place(first)} for one" if several else "",
    }
    title = _environment().get_template("title.txt.j2").render(values)
    body = _environment().get_template("body.txt.j2").render(values)
    urls = (
        ("Run", None if several else links.run(first.run_id)),
        ("Asset", None if several else links.asset(first.tenant_id, first.pipeline, first.table)),
        ("Runbook", links.runbook(first.runbook)),
    )
    return Message(
        action=telling.action,
        kind=telling.kind,
        severity=telling.severity,
        cause=telling.cause,
        dedup_key=telling.dedup_key,
        title=title[:250],
        body=body.strip() + "\n",
        runbook=links.runbook(first.runbook),
        sent_at=moment(now),
        links=tuple((name, url) for name, url in urls if url and "://" in url),
        subjects=tuple(_subject(incident, links) for incident in sorted((*telling.lasting, *telling.over), key=_order)),
    )


def moment(at: datetime) -> str:
    """ISO 8601, to the second."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def duration(lasted: timedelta) -> str:
    """Like `2 h 5 min`."""
    minutes = int(lasted.total_seconds()) // 60
    if minutes < 1:
        return f"{int(lasted.total_seconds())} s"
    days, hours = minutes // 1440, minutes % 1440 // 60
    parts = ((days, "d"), (hours, "h"), (minutes % 60, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def _subject(incident: "Incident", links: Links) -> Subject:
    return Subject(
        fingerprint=incident.fingerprint,
        title=_line(incident.title),
        happened=_cut(incident.happened),
        started_at=moment(incident.opened_at),
        ended_at=moment(incident.resolved_at) if incident.resolved_at else None,
        tenant_id=incident.tenant_id,
        pipeline=incident.pipeline,
        partition=incident.partition,
        table=incident.table,
        run_id=incident.run_id,
        url=links.run(incident.run_id) or links.asset(incident.tenant_id, incident.pipeline, incident.table),
    )


@lru_cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("convergence_assets.alerting"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # plain text; a channel that wants HTML escapes it
    )
    environment.filters |= {"line": _line, "cut": _cut, "place": _place, "places": _places, "words": _words}
    return environment


def _order(incident: "Incident") -> tuple[str, datetime]:
    return _place(incident), incident.opened_at


def _line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST_LINE else words[: _LONGEST_LINE - 1] + "…"


def _cut(text: str) -> str:
    stripped = text.strip()
    return stripped if len(stripped) <= _LONGEST else stripped[: _LONGEST - 1] + "…"


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _place(incident: "Incident") -> str:
    parts = (incident.tenant_id or "platform", incident.pipeline, incident.partition, incident.table)
    return " / ".join(part for part in parts if part)


def _places(incidents: "Sequence[Incident]") -> str:
    tenants = {incident.tenant_id for incident in incidents}
    if len(tenants) > 1:
        return f"{len(tenants)} tenants"
    return str(next(iter(tenants)) or "platform")
