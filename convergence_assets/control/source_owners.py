"""Whose each source is: the tenant that named it first."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa

from convergence_assets.control.store import upsert
from convergence_assets.control.tables import source_owners as table


def all_owners(connection: sa.Connection) -> dict[str, str]:
    """By place the tenant that has it."""
    rows: Iterable[tuple[str, str]] = connection.execute(sa.select(table.c.place, table.c.tenant_id)).all()
    return dict(rows)


def keep(connection: sa.Connection, taken: Mapping[str, str], released: Collection[str], now: datetime) -> None:
    """Give free places to tenants; what somebody else has taken meanwhile stays his. `released` become free first."""
    if released:
        connection.execute(sa.delete(table).where(table.c.place.in_(released)))
    if taken:
        rows = [{"place": place, "tenant_id": tenant_id, "since": now} for place, tenant_id in taken.items()]
        insert = upsert(connection, table)
        connection.execute(insert.on_conflict_do_nothing(index_elements=["place"]), rows)
