"""Changes of files, code, tables and packages, and when they were first seen."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import changes as table

ChangeKind = Literal["config", "code", "schema", "release"]
State = Mapping[str, str]
"""What is compared, by the name that people see."""

KEPT = timedelta(days=400)
DEFINITION = "definition of"
"""The prefix of names that are code and not configuration."""
_ADDED = "columns added: "
_TRANSACTIONS = "changes"
_TOLD = 12


@dataclass(frozen=True)
class Change:
    """`config` is a change of a tenant's files or the defaults, `code` of a pipeline's SQL, columns or suites, `schema`
    of a table in the warehouse, `release` of the installed packages. `run_id` is the run that made or saw it."""

    moment: datetime
    kind: ChangeKind
    tenant_id: str | None
    subject: str
    said: str
    run_id: str | None = None


def changes_since(connection: sa.Connection, moment: datetime, tenant_id: str | None = None) -> Sequence[Change]:
    """The oldest first; those of a tenant include those of no tenant."""
    query = sa.select(table).where(table.c.moment >= moment).order_by(table.c.moment, table.c.id)
    if tenant_id is not None:
        query = query.where(sa.or_(table.c.tenant_id == tenant_id, table.c.tenant_id.is_(None)))
    return [
        Change(row.moment, row.kind, row.tenant_id, row.subject, row.said, row.run_id)
        for row in connection.execute(query)
    ]


def states_of_tenant(connection: sa.Connection, tenant_id: str) -> Sequence[tuple[datetime, State]]:
    """What was loaded of a tenant, with the moment from which on, the oldest first."""
    query = sa.select(table.c.moment, table.c.state).where(table.c.subject == _subject(tenant_id))
    rows = connection.execute(query.where(table.c.state.is_not(None)).order_by(table.c.moment, table.c.id))
    return [(row.moment, json.loads(row.state)) for row in rows]


def columns_added(connection: sa.Connection, tenant_id: str, table_name: str) -> Mapping[str, datetime]:
    """The columns that runs have added to a table, each with the moment."""
    of_table = (table.c.tenant_id == tenant_id, table.c.kind == "schema", table.c.subject == f"table {table_name}")
    rows = connection.execute(sa.select(table).where(*of_table, table.c.said.startswith(_ADDED)))
    return {name: row.moment for row in rows for name in row.said.removeprefix(_ADDED).split(", ")}


class Changes:
    """The changes of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def record_load(self, tenants: Mapping[str, State], packages: State) -> int:
        """Record that a code location has loaded these tenants, all there are; the number of changes."""
        states: dict[str | None, State] = {None: packages}
        states.update(tenants)
        with self._store.read() as connection:
            latest = _latest(connection)
        states |= {t: {} for t, state in latest.items() if t is not None and state and t not in tenants}
        new = {t: state for t, state in states.items() if latest.get(t, {}) != state}
        return self._write(new) if new else 0

    def record_run(self, tenant_id: str, state: State, run_id: str) -> None:
        """Record what a run has loaded, unless that was ever loaded before: a run may still have an older state."""
        with self._store.read() as connection:
            seen = sa.select(table.c.id).where(table.c.subject == _subject(tenant_id), table.c.state == _text(state))
            if connection.scalar(seen.limit(1)) is not None:
                return
        self._write({tenant_id: state}, run_id)

    def record_schema(self, tenant_id: str, table_name: str, added: Sequence[str], run_id: str) -> None:
        """Record that a run has added columns to a table, or created it where there are none."""
        description = f"{_ADDED}{', '.join(added)}" if added else "made"
        with self._store.write() as connection:
            change = Change(self._store.now(), "schema", tenant_id, f"table {table_name}", description, run_id)
            connection.execute(sa.insert(table), vars(change))

    def _write(self, new: Mapping[str | None, State], run_id: str | None = None) -> int:
        with self._store.write(_TRANSACTIONS) as connection:
            now = self._store.now()
            before = _latest(connection, new)
            # Another process may have recorded them since the comparison.
            new = {t: state for t, state in new.items() if before.get(t, {}) != state}
            _prune_changes(connection, now)
            rows = [
                vars(
                    Change(
                        now, _kind(t, before.get(t), state), t, _subject(t), _differences(before.get(t), state), run_id
                    )
                )
                | {"state": _text(state)}
                for t, state in new.items()
            ]
            if rows:
                connection.execute(sa.insert(table), rows)
            return len(rows)


def _newest(tenant_ids: Collection[str | None] = ()) -> sa.Select[tuple[int]]:
    """The ids of the latest states: of every subject, or of one."""
    newest = sa.select(sa.func.max(table.c.id)).where(table.c.state.is_not(None)).group_by(table.c.subject)
    return newest.where(table.c.subject == _subject(next(iter(tenant_ids)))) if len(tenant_ids) == 1 else newest


def _latest(connection: sa.Connection, tenant_ids: Collection[str | None] = ()) -> dict[str | None, dict[str, str]]:
    rows = connection.execute(sa.select(table).where(table.c.id.in_(_newest(tenant_ids))))
    return {row.tenant_id: json.loads(row.state) for row in rows}


def _prune_changes(connection: sa.Connection, now: datetime) -> None:
    """Delete what is old and no longer compared with."""
    connection.execute(sa.delete(table).where(table.c.moment < now - KEPT, table.c.id.not_in(_newest())))


def _subject(tenant_id: str | None) -> str:
    return "packages" if tenant_id is None else f"tenant {tenant_id}"


def _text(state: State) -> str:
    return json.dumps(dict(state), sort_keys=True)


def _kind(tenant_id: str | None, before: State | None, state: State) -> ChangeKind:
    if tenant_id is None:
        return "release"
    differ = [name for name in {**(before or {}), **state} if (before or {}).get(name) != state.get(name)]
    return "code" if before and state and all(name.startswith(DEFINITION) for name in differ) else "config"


def _differences(before: State | None, state: State) -> str:
    if not before:
        return "first seen"
    if not state:
        return "its files are gone"
    differences = []
    for name in sorted({*before, *state}):
        old, new = before.get(name), state.get(name)
        if old != new:
            differences.append(f"{name}: {'nothing' if old is None else old} -> {'nothing' if new is None else new}")
    more = f"; and {len(differences) - _TOLD} more" if len(differences) > _TOLD else ""
    return "; ".join(differences[:_TOLD]) + more
