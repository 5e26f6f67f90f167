"""What a new version reads of its own pipeline and days lack, as they were published before a table or a column was
added: runs make it before the version is built."""

import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from convergence_assets.assets.no_data import has_no_data
from convergence_assets.assets.schema_mapping import target_table
from convergence_assets.control.change_log import columns_added
from convergence_assets.control.definitions import definition_contents
from convergence_assets.control.publications import Publication, between
from convergence_assets.control.store import ControlStore
from convergence_assets.pipelines.suites import UNEXPECTED_ROWS
from convergence_assets.preview.tenant_run import neighbours
from convergence_assets.preview.touched import steps_in_order
from convergence_assets.tenancy.definition import Definition
from convergence_assets.tenancy.tenant import Step, TenantPipeline
from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded, TableVersion
from convergence_assets.warehouse.interface import Warehouse

DAYS_AT_ONCE = 30
"""How many days one run makes."""
MOST_NAMED = 5


@dataclass(frozen=True)
class RunOutcome:
    """What a run did: by table the days that it published, and by table and day the names of the critical checks that
    stopped it; its failure in words, where it failed."""

    published: Mapping[str, Collection[date]]
    stopped: Mapping[tuple[str, date], Sequence[str]]
    failure: str | None


RunTables = Callable[[TenantPipeline, Collection[str], date, date], RunOutcome]
"""Runs some tables of a pipeline for the days [first, last], as any other run."""


@dataclass(frozen=True)
class MissingInputs:
    """By table the days that lack what the new version reads, in the order in which the tables read one another; and
    those of other tables that read such a day, which are made again with it."""

    needed: dict[str, set[date]] = field(default_factory=dict)
    besides: dict[str, set[date]] = field(default_factory=dict)

    @property
    def days(self) -> set[date]:
        """The days that the new version cannot be built of yet."""
        return {day for days in self.needed.values() for day in days}

    def __str__(self) -> str:
        return ", ".join(f"{len(days)} days of {name}" for name, days in {**self.needed, **self.besides}.items())

    def tables(self, day: date) -> tuple[str, ...]:
        """The tables that are to be made of a day."""
        return tuple(name for name, days in {**self.needed, **self.besides}.items() if day in days)


def missing_inputs(store: ControlStore, warehouse: Warehouse, found: TableVersion) -> MissingInputs:
    """What is to be made before the missing days of the declared version. Raises `WarehouseError`, `ControlError`."""
    days = [day for day in found.missing if day not in found.unbuildable]
    if not days:
        return MissingInputs()
    steps = [step for pipeline, step in steps_in_order(found.tenant) if pipeline.name == found.pipeline.name]
    inputs = {step.table: _Input.of(store, warehouse, found, step, days) for step in steps}
    needed: dict[str, set[date]] = {step.table: set() for step in steps} | {found.step.table: set(days)}
    for step in reversed(steps):
        for name in needed.keys() & set(step.upstream) - {step.table}:
            needed[name] |= {day for day in needed[step.table] if inputs[name].lacks(day, step)}
    del needed[found.step.table]
    besides: dict[str, set[date]] = {}
    blocked = {found.step.table}
    for step in steps:
        if step.table in blocked or blocked.intersection(step.upstream):
            blocked.add(step.table)
            continue
        read = [made[name] for name in step.upstream for made in (needed, besides) if name in made]
        again = set().union(*read) & inputs[step.table].published_days(step) - needed.get(step.table, set())
        if again:
            besides[step.table] = again
    return MissingInputs({name: days for name, days in needed.items() if days}, besides)


def make_inputs(inputs: MissingInputs, found: TableVersion, run: RunTables) -> dict[date, str]:
    """Make them; the days of the declared version that can be made no more, each with the reason: what it reads has no
    rows in its source any more. Raises `NotUpgraded` where another reason keeps one from being published."""
    lost: dict[date, str] = {}
    alike: dict[tuple[str, ...], list[date]] = {}
    for day in sorted(inputs.days):
        alike.setdefault(inputs.tables(day), []).append(day)
    waiting = deque((tables, chunk) for tables, days in alike.items() for chunk in _chunks(days))
    while waiting:
        tables, chunk = waiting.popleft()
        done = run(found.pipeline, tables, chunk[0], chunk[-1])
        needed = [name for name in tables if name in inputs.needed]
        missing = {day: [name for name in needed if day not in done.published.get(name, ())] for day in chunk}
        empty: dict[date, str] = {}
        for day, names in missing.items():
            for name in names:
                if has_no_data(tuple(done.stopped.get((name, day), ()))):
                    empty[day] = f"without rows in what {name} reads now"
        lost |= empty
        rest = [day for day, names in missing.items() if names and day not in empty]
        if any((name, day) in done.stopped for day in rest for name in missing[day]) or (rest and not empty):
            why = done.failure or "a run published no rows of them."
            raise NotUpgraded(
                f"{found.name}: version {found.declared} reads {', '.join(needed)}, and {len(rest)} days of that could "
                f"not be made ({', '.join(map(str, rest[:MOST_NAMED]))}): {why} Nothing is switched. Next: correct "
                "that, then this again"
            )
        # A day without rows has kept the later tables of the others from being made.
        left = tuple(name for name in tables if any(name in missing[day] for day in rest) or name in inputs.besides)
        waiting.extendleft((left, again) for again in reversed(list(_chunks(rest))))
    return lost


def _chunks(days: Sequence[date]) -> list[list[date]]:
    return [
        span[start : start + DAYS_AT_ONCE]
        for span in neighbours(days)
        for start in range(0, len(span), DAYS_AT_ONCE)
    ]  # fmt: skip


@dataclass(frozen=True)
class _Input:
    """The published days of a table; `made_by` are their definitions, `added` when columns came to it, and `absent` the
    declared ones that it still lacks."""

    published: Mapping[date, Publication]
    made_by: Mapping[str, Definition]
    added: Mapping[str, datetime]
    absent: frozenset[str]
    declared: frozenset[str]
    timezone: str

    @classmethod
    def of(
        cls, store: ControlStore, warehouse: Warehouse, found: TableVersion, step: Step, days: Sequence[date]
    ) -> "_Input":
        table, tenant = target_table(found.tenant, step.table), found.tenant
        with store.read() as connection:
            rows = between(connection, tenant.tenant_id, [step.table], days[0], days[-1])
            added = columns_added(connection, tenant.tenant_id, f"{table.dataset}.{step.table}")
            published = {day: one for (_, day), one in rows.items()}
            contents = definition_contents(connection, {one.definition for one in rows.values() if one.definition})
        schema = warehouse.existing_schema(table) if published else None
        declared = frozenset(column.name for column in step.spec.columns)
        absent = frozenset(name for name in declared if schema is not None and schema.column(name) is None)
        made_by = {version: Definition.stored(content) for version, content in contents.items()}
        return cls(published, made_by, added, absent, declared, tenant.timezone)

    def lacks(self, day: date, reader: Step) -> bool:
        """Whether the day has not all that a step reads."""
        one = self.published.get(day)
        if one is None or not one.is_whole(self.timezone):
            return True
        if definition := self.made_by.get(one.definition or ""):
            lacking = self.declared - definition.columns.keys()
        else:
            lacking = self.declared & {name for name, moment in self.added.items() if moment > one.published_at}
        lacking |= self.absent
        text = _text(reader) if lacking else ""
        return any(re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) for name in lacking)

    def published_days(self, step: Step) -> set[date]:
        """The days that a run can make again."""
        return {day for day, one in self.published.items() if one.table_version == step.spec.version}


def _text(step: Step) -> str:
    """All that names columns of what a step reads: its SQL, the queries of its suite, its columns for `SELECT *`."""
    queries = [str(e.kwargs.get("unexpected_rows_query")) for e in step.suite.expectations if e.type == UNEXPECTED_ROWS]
    return "\n".join([step.sql.text if step.sql else "", *queries, *(column.name for column in step.spec.columns)])
