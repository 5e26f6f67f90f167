"""A rendered message in the outbox, the same for every channel."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convergence_assets.control.outbox import Action


@dataclass(frozen=True)
class Subject:
    """An incident that a message is about; moments are ISO 8601 in UTC."""

    fingerprint: str
    title: str
    happened: str
    started_at: str
    ended_at: str | None = None
    tenant_id: str | None = None
    pipeline: str | None = None
    partition: str | None = None
    table: str | None = None
    run_id: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Message:
    """What a destination gets. `dedup_key` is the same from the trigger to the resolve.

    `subjects` are all incidents that the destination then knows of, including those that are over; `links` are
    pairs of text and URL.
    """

    action: "Action"
    kind: str
    severity: str
    cause: str
    dedup_key: str
    title: str
    body: str
    runbook: str
    sent_at: str
    links: tuple[tuple[str, str], ...]
    subjects: tuple[Subject, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Message":
        fields = json.loads(text)
        links = tuple((name, url) for name, url in fields.pop("links"))
        subjects = tuple(Subject(**subject) for subject in fields.pop("subjects"))
        return cls(**fields, links=links, subjects=subjects)
