"""Counters, updated as events are read, so that a scrape of metrics reads no history."""

from collections import defaultdict
from collections.abc import Mapping

import sqlalchemy as sa

from convergence_assets.control.store import upsert
from convergence_assets.control.tables import counters as table

Labels = tuple[str, ...]
"""The values of a series' labels, in the order in which its name declares them."""
Increments = defaultdict[tuple[str, Labels], float]
_BETWEEN = "\x1f"  # in no label's value


def add_counts(connection: sa.Connection, increments: Mapping[tuple[str, Labels], float]) -> None:
    """Add these, within the caller's transaction; in one order everywhere, so that no two wait for each other."""
    rows = [
        {"name": name, "labels": _BETWEEN.join(labels), "value": value}
        for (name, labels), value in sorted(increments.items())
        if value
    ]
    if not rows:
        return
    insert = upsert(connection, table)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["name", "labels"], set_={"value": table.c.value + insert.excluded.value}
        ),
        rows,
    )


def read_counters(connection: sa.Connection) -> dict[str, dict[Labels, float]]:
    """By name and labels."""
    values: dict[str, dict[Labels, float]] = {}
    for name, labels, value in connection.execute(sa.select(table.c.name, table.c.labels, table.c.value)):
        values.setdefault(name, {})[tuple(labels.split(_BETWEEN))] = value
    return values


def reset_counters(connection: sa.Connection) -> None:
    """Reset all counters, before all events are read again."""
    connection.execute(sa.delete(table))
