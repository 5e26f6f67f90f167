"""The runs of one tenant, by page and by day. Every query has the tenant as its first condition."""

import base64
import binascii
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from convergence_assets.control.runs import IndexedRun, RunStatus
from convergence_assets.control.tables import runs

_Rows = sa.Select[tuple[object, ...]]


@dataclass(frozen=True)
class TenantRun:
    """A run's part in a pipeline of the tenant. `shared`: the run has parts of other tenants too, so that its
    error may be about their data."""

    run: IndexedRun
    shared: bool


@dataclass(frozen=True)
class RunPage:
    """Runs, the newest first, and where the next page begins."""

    runs: Sequence[TenantRun]
    next: str | None


def page(
    connection: sa.Connection, tenant_id: str, *, pipeline: str | None = None, statuses: Collection[RunStatus] = (),
    since: datetime | None = None, limit: int = 50, after: str | None = None,
) -> RunPage:  # fmt: skip
    """The tenant's runs that fit. Raises ValueError for an `after` that is no page's `next`."""
    query = _tenant_runs(tenant_id)
    if pipeline is not None:
        query = query.where(runs.c.pipeline == pipeline)
    if statuses:
        query = query.where(runs.c.status.in_(statuses))
    if since is not None:
        query = query.where(runs.c.created_at >= since)
    if after is not None:
        query = query.where(_after(after))
    newest_first = (runs.c.created_at.desc(), runs.c.run_id.desc(), runs.c.pipeline.desc())
    page_runs = _read_runs(connection, query.order_by(*newest_first).limit(limit + 1))
    return RunPage(page_runs[:limit], _cursor(page_runs[limit - 1].run) if len(page_runs) > limit else None)


def run(connection: sa.Connection, tenant_id: str, run_id: str) -> Sequence[TenantRun]:
    """The tenant's parts of a run, one a pipeline; empty where it has none."""
    return _read_runs(connection, _tenant_runs(tenant_id).where(runs.c.run_id == run_id).order_by(runs.c.pipeline))


def overlapping(
    connection: sa.Connection, tenant_id: str, pipeline: str, first: date, last: date, since: datetime | None = None
) -> Sequence[TenantRun]:
    """The pipeline's runs over any of these days: made since then, or not over yet; the newest first."""
    query = _tenant_runs(tenant_id).where(
        runs.c.pipeline == pipeline, runs.c.first_day <= last, runs.c.last_day >= first,
        runs.c.created_at >= since if since else runs.c.status.in_(("queued", "running")),
    )  # fmt: skip
    return _read_runs(connection, query.order_by(runs.c.created_at.desc(), runs.c.run_id).limit(400))


def has_run(connection: sa.Connection, tenant_id: str, pipeline: str) -> bool:
    """Whether the pipeline ever ran."""
    query = sa.select(runs.c.run_id).where(runs.c.tenant_id == tenant_id, runs.c.pipeline == pipeline).limit(1)
    return connection.execute(query).first() is not None


def _tenant_runs(tenant_id: str) -> _Rows:
    other = runs.alias("other")
    others = sa.exists().where(other.c.run_id == runs.c.run_id, other.c.tenant_id != tenant_id)
    return sa.select(runs, others.label("shared")).where(runs.c.tenant_id == tenant_id)


def _read_runs(connection: sa.Connection, query: _Rows) -> list[TenantRun]:
    tenant_runs = []
    for row in connection.execute(query).mappings():
        fields = dict(row)
        shared = bool(fields.pop("shared"))
        indexed = IndexedRun(first=fields.pop("first_day"), last=fields.pop("last_day"), **fields)
        tenant_runs.append(TenantRun(indexed, shared))
    return tenant_runs


def _cursor(run: IndexedRun) -> str:
    text = "|".join((run.created_at.isoformat(), run.run_id, run.pipeline))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _after(cursor: str) -> sa.ColumnElement[bool]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, run_id, pipeline = text.split("|")
        created_at = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise ValueError("that is no cursor of this list") from error
    if "\0" in text:
        raise ValueError("that is no cursor of this list")
    later = sa.tuple_(runs.c.run_id, runs.c.pipeline) < sa.tuple_(sa.literal(run_id), sa.literal(pipeline))
    return sa.or_(runs.c.created_at < created_at, sa.and_(runs.c.created_at == created_at, later))
