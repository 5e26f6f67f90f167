"""What became different in files, code, tables and packages, and when it was first seen."""

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
"""What is compared, by the name that a person is told."""

KEPT = timedelta(days=400)
DEFINITION = "definition of"
"""How the names begin that are code and not configuration."""
_TRANSACTIONS = "changes"
_TOLD = 12


@dataclass(frozen=True)
class Change:
    """`config` is what a tenant's files or the defaults say, `code` what a pipeline's SQL, columns and suites say,
    `schema` a table in the warehouse, `release` the installed packages. `run_id` is the run that made or met it."""

    moment: datetime
    kind: ChangeKind
    tenant_id: str | None
    subject: str
    said: str
    run_id: str | None = None


def since(connection: sa.Connection, moment: datetime, tenant_id: str | None = None) -> Sequence[Change]:
    """The oldest first; of one tenant with those that are of no tenant."""
    wanted = sa.select(table).where(table.c.moment >= moment).order_by(table.c.moment, table.c.id)
    if tenant_id is not None:
        wanted = wanted.where(sa.or_(table.c.tenant_id == tenant_id, table.c.tenant_id.is_(None)))
    return [
        Change(row.moment, row.kind, row.tenant_id, row.subject, row.said, row.run_id)
        for row in connection.execute(wanted)
    ]


class Changes:
    """The changes of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def loaded(self, tenants: Mapping[str, State], packages: State) -> int:
        """A code location has loaded these tenants, all that there are; how many changes that made."""
        wanted: dict[str | None, State] = {None: packages}
        wanted.update(tenants)
        with self._store.read() as connection:
            known = _latest(connection)
        wanted |= {t: {} for t, state in known.items() if t is not None and state and t not in tenants}
        new = {t: state for t, state in wanted.items() if known.get(t, {}) != state}
        return self._write(new) if new else 0

    def met(self, tenant_id: str, state: State, run_id: str) -> None:
        """A run has loaded this; noted where nobody ever has, since a run may still have what was before."""
        with self._store.read() as connection:
            seen = sa.select(table.c.id).where(table.c.subject == _subject(tenant_id), table.c.state == _text(state))
            if connection.scalar(seen.limit(1)) is not None:
                return
        self._write({tenant_id: state}, run_id)

    def schema(self, tenant_id: str, table_name: str, said: str, run_id: str) -> None:
        """A run has made a table or added columns to it."""
        with self._store.write() as connection:
            change = Change(self._store.now(), "schema", tenant_id, f"table {table_name}", said, run_id)
            connection.execute(sa.insert(table), vars(change))

    def _write(self, new: Mapping[str | None, State], run_id: str | None = None) -> int:
        with self._store.write(_TRANSACTIONS) as connection:
            now = self._store.now()
            before = _latest(connection, new)
            # Somebody may have noted them since they were compared.
            new = {t: state for t, state in new.items() if before.get(t, {}) != state}
            _forget(connection, now)
            rows = [
                vars(Change(now, _kind(t, before.get(t), state), t, _subject(t), _said(before.get(t), state), run_id))
                | {"state": _text(state)}
                for t, state in new.items()
            ]
            if rows:
                connection.execute(sa.insert(table), rows)
            return len(rows)


def _newest(wanted: Collection[str | None] = ()) -> sa.Select[tuple[int]]:
    """The ids of the states that are compared with: of every subject, or of one."""
    newest = sa.select(sa.func.max(table.c.id)).where(table.c.state.is_not(None)).group_by(table.c.subject)
    return newest.where(table.c.subject == _subject(next(iter(wanted)))) if len(wanted) == 1 else newest


def _latest(connection: sa.Connection, wanted: Collection[str | None] = ()) -> dict[str | None, dict[str, str]]:
    rows = connection.execute(sa.select(table).where(table.c.id.in_(_newest(wanted))))
    return {row.tenant_id: json.loads(row.state) for row in rows}


def _forget(connection: sa.Connection, now: datetime) -> None:
    """Drop what is old and not compared with any more."""
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


def _said(before: State | None, state: State) -> str:
    if not before:
        return "first seen"
    if not state:
        return "its files are gone"
    told = []
    for name in sorted({*before, *state}):
        old, new = before.get(name), state.get(name)
        if old != new:
            told.append(f"{name}: {'nothing' if old is None else old} -> {'nothing' if new is None else new}")
    more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return "; ".join(told[:_TOLD]) + more
