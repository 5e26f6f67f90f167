"""What a tenant may read of the control store. Each query has the tenant as its first condition."""

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from convergence_assets.control.runs import IndexedRun, RunStatus
from convergence_assets.control.tables import api_requests, pauses, runs

_Rows = sa.Select[tuple[object, ...]]


@dataclass(frozen=True)
class OwnRun:
    """A run's part in a pipeline of the tenant. `shared` says that the run has parts of other tenants too: what it says
    of itself as a whole may then be theirs."""

    run: IndexedRun
    shared: bool


@dataclass(frozen=True)
class Found:
    """Runs, the newest first, and where the next page begins."""

    runs: Sequence[OwnRun]
    next: str | None


@dataclass(frozen=True)
class Asked:
    """Days that were asked for over HTTP."""

    request_id: str
    tenant_id: str
    pipeline: str
    first_day: date
    last_day: date
    asked_by: str
    asked_at: datetime
    retry_of: str | None


def page(
    connection: sa.Connection, tenant_id: str, *, pipeline: str | None = None, statuses: Collection[RunStatus] = (),
    since: datetime | None = None, limit: int = 50, after: str | None = None,
) -> Found:  # fmt: skip
    """The tenant's runs that fit. Raises ValueError for an `after` that is no page's `next`."""
    wanted = _own(tenant_id)
    if pipeline is not None:
        wanted = wanted.where(runs.c.pipeline == pipeline)
    if statuses:
        wanted = wanted.where(runs.c.status.in_(statuses))
    if since is not None:
        wanted = wanted.where(runs.c.created_at >= since)
    if after is not None:
        wanted = wanted.where(_after(after))
    newest_first = (runs.c.created_at.desc(), runs.c.run_id.desc(), runs.c.pipeline.desc())
    found = _read(connection, wanted.order_by(*newest_first).limit(limit + 1))
    return Found(found[:limit], _cursor(found[limit - 1].run) if len(found) > limit else None)


def run(connection: sa.Connection, tenant_id: str, run_id: str) -> Sequence[OwnRun]:
    """The tenant's parts of a run, one a pipeline; empty where it has none."""
    return _read(connection, _own(tenant_id).where(runs.c.run_id == run_id).order_by(runs.c.pipeline))


def overlapping(
    connection: sa.Connection, tenant_id: str, pipeline: str, first: date, last: date, since: datetime | None = None
) -> Sequence[OwnRun]:
    """The pipeline's runs over any of these days: made since then, or not over yet; the newest first."""
    wanted = _own(tenant_id).where(
        runs.c.pipeline == pipeline, runs.c.first_day <= last, runs.c.last_day >= first,
        runs.c.created_at >= since if since else runs.c.status.in_(("queued", "running")),
    )  # fmt: skip
    return _read(connection, wanted.order_by(runs.c.created_at.desc(), runs.c.run_id).limit(400))


def has_run(connection: sa.Connection, tenant_id: str, pipeline: str) -> bool:
    """Whether the pipeline ever ran."""
    wanted = sa.select(runs.c.run_id).where(runs.c.tenant_id == tenant_id, runs.c.pipeline == pipeline).limit(1)
    return connection.execute(wanted).first() is not None


def paused(connection: sa.Connection, tenant_id: str) -> dict[str, str]:
    """By pipeline who paused it and why; the empty one stands for all of them."""
    wanted = sa.select(pauses).where(pauses.c.tenant_id == tenant_id)
    return {
        row.pipeline: f"paused by {row.paused_by} on {row.paused_at:%Y-%m-%d}: {row.reason}"
        for row in connection.execute(wanted)
    }


def request(connection: sa.Connection, tenant_id: str, request_id: str) -> Asked | None:
    own = (api_requests.c.tenant_id == tenant_id, api_requests.c.request_id == request_id)
    row = connection.execute(sa.select(api_requests).where(*own)).mappings().one_or_none()
    return Asked(**row) if row else None


def requests_for(connection: sa.Connection, tenant_id: str, pipeline: str, first: date, last: date) -> Sequence[Asked]:
    """Those for exactly these days, the newest first."""
    own = (
        api_requests.c.tenant_id == tenant_id, api_requests.c.pipeline == pipeline,
        api_requests.c.first_day == first, api_requests.c.last_day == last,
    )  # fmt: skip
    wanted = sa.select(api_requests).where(*own).order_by(api_requests.c.asked_at.desc()).limit(5)
    return [Asked(**row) for row in connection.execute(wanted).mappings()]


def _own(tenant_id: str) -> _Rows:
    other = runs.alias("other")
    others = sa.exists().where(other.c.run_id == runs.c.run_id, other.c.tenant_id != tenant_id)
    return sa.select(runs, others.label("shared")).where(runs.c.tenant_id == tenant_id)


def _read(connection: sa.Connection, wanted: _Rows) -> list[OwnRun]:
    found = []
    for row in connection.execute(wanted).mappings():
        said = dict(row)
        shared = bool(said.pop("shared"))
        own = IndexedRun(first=said.pop("first_day"), last=said.pop("last_day"), **said)
        found.append(OwnRun(own, shared))
    return found


def _cursor(run: IndexedRun) -> str:
    said = "|".join((run.created_at.isoformat(), run.run_id, run.pipeline))
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _after(cursor: str) -> sa.ColumnElement[bool]:
    try:
        said = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, run_id, pipeline = said.split("|")
        created_at = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise ValueError("that is no cursor of this list") from error
    if "\0" in said:
        raise ValueError("that is no cursor of this list")
    later = sa.tuple_(runs.c.run_id, runs.c.pipeline) < sa.tuple_(sa.literal(run_id), sa.literal(pipeline))
    return sa.or_(runs.c.created_at < created_at, sa.and_(runs.c.created_at == created_at, later))
