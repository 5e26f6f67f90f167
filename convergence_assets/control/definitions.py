"""The definitions of tables that publications name, each stored once by its hash."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from convergence_assets.control.tables import definitions as table
from convergence_assets.control.tables import publications


@dataclass(frozen=True)
class StoredDefinition:
    """A definition's hash, and what it was made of as JSON."""

    version: str
    content: str


def keep_definition(connection: sa.Connection, definition: StoredDefinition, now: datetime) -> None:
    """Store a definition unless it is stored; call it within a transaction that has waited for a key."""
    known = sa.select(table.c.version).where(table.c.version == definition.version)
    if connection.execute(known).first() is None:
        connection.execute(sa.insert(table), vars(definition) | {"first_seen_at": now})


def definition_contents(connection: sa.Connection, versions: Collection[str]) -> Mapping[str, str]:
    """The stored content of these definitions, by hash."""
    rows = connection.execute(sa.select(table).where(table.c.version.in_(sorted(versions))))
    return {row.version: row.content for row in rows}


def newest_definitions(connection: sa.Connection) -> Mapping[tuple[str, str], str]:
    """The content of the definition that made the newest publication, by tenant and table; not of tables whose newest
    one names none."""
    newest = sa.select(
        publications.c.tenant_id, publications.c.table_name, sa.func.max(publications.c.version).label("v")
    )
    last = newest.group_by(publications.c.tenant_id, publications.c.table_name).subquery()
    is_last = sa.and_(
        publications.c.tenant_id == last.c.tenant_id,
        publications.c.table_name == last.c.table_name,
        publications.c.version == last.c.v,
    )
    query = sa.select(publications.c.tenant_id, publications.c.table_name, table.c.content).join(last, is_last)
    query = query.join(table, table.c.version == publications.c.definition)
    return {(row.tenant_id, row.table_name): row.content for row in connection.execute(query.distinct())}
