"""The owner of each source: the tenant that named it first."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import sqlalchemy as sa

from convergence_assets.control.store import upsert
from convergence_assets.control.tables import source_owners as table


def all_owners(connection: sa.Connection) -> dict[str, str]:
    """The owning tenant by place."""
    rows: Iterable[tuple[str, str]] = connection.execute(sa.select(table.c.place, table.c.tenant_id)).all()
    return dict(rows)


def write_owners(connection: sa.Connection, taken: Mapping[str, str], released: Collection[str], now: datetime) -> None:
    """Give free places to tenants; one that another tenant took since stays its. `released` become free first."""
    if released:
        connection.execute(sa.delete(table).where(table.c.place.in_(released)))
    if taken:
        rows = [{"place": place, "tenant_id": tenant_id, "since": now} for place, tenant_id in taken.items()]
        insert = upsert(connection, table)
        connection.execute(insert.on_conflict_do_nothing(index_elements=["place"]), rows)
