"""How far old history was removed, and removing what is old of the control store itself."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.tables import cursors, followed_runs, runs

_EVENTS_THROUGH, _COMPLETED_AT = "history: events through", "history: completed at"
_TENANTS_DONE = "history: tenants done"
_SNAPSHOTS_THROUGH = "history: snapshots through"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def events_deleted_through(connection: sa.Connection) -> datetime | None:
    """When the last run was created (UTC) whose events were looked at; None before the first."""
    return _read(connection, _EVENTS_THROUGH)


def write_events_deleted_through(connection: sa.Connection, moment: datetime) -> None:
    _write(connection, _EVENTS_THROUGH, moment)


def completed_at(connection: sa.Connection) -> datetime | None:
    """When history was last removed completely; None before the first time."""
    return _read(connection, _COMPLETED_AT)


def write_completed_at(connection: sa.Connection, moment: datetime) -> None:
    _write(connection, _COMPLETED_AT, moment)


def snapshots_through(connection: sa.Connection) -> int:
    """The number of Dagster's last snapshot when history was last removed; 0 before the first time."""
    return connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == _SNAPSHOTS_THROUGH)) or 0


def write_snapshots_through(connection: sa.Connection, number: int) -> None:
    _write_value(connection, _SNAPSHOTS_THROUGH, number)


def tenants_done(connection: sa.Connection) -> int:
    """Of how many tenants, in the order of their ids, this pass has removed ledger rows."""
    return connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == _TENANTS_DONE)) or 0


def write_tenants_done(connection: sa.Connection, number: int) -> None:
    _write_value(connection, _TENANTS_DONE, number)


def delete_runs_before(connection: sa.Connection, moment: datetime) -> int:
    """Delete rows of the runs index of runs that are over and were created before a moment; how many.

    The newest run of each pipeline stays.
    """
    newer = runs.alias("newer")
    has_newer = sa.exists().where(
        newer.c.tenant_id == runs.c.tenant_id, newer.c.pipeline == runs.c.pipeline,
        newer.c.created_at > runs.c.created_at,
    )  # fmt: skip
    over = runs.c.status.not_in(("queued", "running"))
    deleted = connection.execute(sa.delete(runs).where(runs.c.created_at < moment, over, has_newer)).rowcount
    connection.execute(
        sa.delete(followed_runs).where(followed_runs.c.created_at < moment, followed_runs.c.ended == sa.true())
    )
    return deleted


def _read(connection: sa.Connection, name: str) -> datetime | None:
    value = connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == name))
    return None if value is None else _EPOCH + value * _MICROSECOND


def _write(connection: sa.Connection, name: str, moment: datetime) -> None:
    _write_value(connection, name, (moment - _EPOCH) // _MICROSECOND)


def _write_value(connection: sa.Connection, name: str, value: int) -> None:
    if not connection.execute(sa.update(cursors).where(cursors.c.name == name).values(value=value)).rowcount:
        connection.execute(sa.insert(cursors), {"name": name, "value": value})
