"""The tables, columns and parameters that a bound pipeline's SQL names, and the order in which its tables are made."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from convergence_assets.pipelines.compile import BATCH, RUN_PARAMETER_TYPES
from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.models import ColumnSpec
from convergence_assets.pipelines.parameters import BIGQUERY_TYPES
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.sql_checks import misfitting_result, misnamed, unknown_columns
from convergence_assets.pipelines.step_tests import misnamed_in_tests
from convergence_assets.tenancy.dialect_checks import pseudo_columns, statement_problems
from convergence_assets.tenancy.template_binding import Binding, BoundSuite

TableColumns = Mapping[str, tuple[ColumnSpec, ...]]


def reading_problems(
    binding: Binding, compiled: Mapping[str, CompiledSql], suites: Mapping[str, BoundSuite],
    tenant_tables: TableColumns, late_data: Mapping[str, CompiledSql], *, is_complete: bool,
) -> Iterator[Problem]:  # fmt: skip
    """Unknown tables, columns and parameters, and SQL that engines do not answer alike.

    `tenant_tables` are those of the tenant's pipelines; with `is_complete` false another pipeline of the tenant
    could not be read, and an unknown table may be its.
    """
    declared = binding.template.spec
    bound = {
        name: BIGQUERY_TYPES[spec.type] for name, spec in declared.parameters.items() if spec.type in BIGQUERY_TYPES
    }
    bindable = RUN_PARAMETER_TYPES | bound
    sources = {name: spec.columns for name, spec in declared.sources.items()}
    pseudo = frozenset(c.name for spec in declared.sources.values() for c in pseudo_columns(spec))
    readable = {**tenant_tables, **sources}
    steps = {step.table: step for step in declared.steps}
    index = {step.table: i for i, step in enumerate(declared.steps)}
    for table, sql in compiled.items():
        place = (steps[table], binding.template.source, ("steps", index[table]))
        problems = [
            *_misread_tables(sql, readable, table, is_complete=is_complete),
            *misfitting_result(sql, *place),
            *_unbound(sql, bindable),
        ]
        if sql.tables <= set(readable):
            read = {name: readable[name] for name in sql.tables}
            problems += unknown_columns(sql, read, pseudo)
            # A known mistake is reported once, without what follows from it.
            problems += [] if problems else statement_problems(sql, read, declared.sources, bindable, place)
        yield from problems or misnamed_in_tests(sql, readable, *place)
    for table, sql in late_data.items():
        # The tables that its step reads, too: a published day of one may be what another day is made from.
        own = compiled[table].tables if table in compiled else frozenset()
        askable = sources | {name: columns for name, columns in tenant_tables.items() if name in own}
        yield from _misread_tables(sql, askable, None, is_complete=True)
        returned = None if sql.returns is None else sorted(column.name.lower() for column in sql.returns)
        if returned != ["day", "marker"]:
            yield Problem(sql.file, 1, "", "returns other columns", "SELECT ... AS day, ... AS marker")
        if not sql.tables <= set(askable):
            yield from _unbound(sql, bindable)
        else:
            read = {name: askable[name] for name in sql.tables}
            unknown = [*unknown_columns(sql, read, pseudo), *_unbound(sql, bindable)]
            yield from unknown or statement_problems(sql, read, declared.sources, bindable)
    for table, suite in suites.items():
        for sql in suite.queries:
            problems = [*_misread_tables(sql, readable, None, is_complete=is_complete), *_unbound(sql, bindable)]
            if sql.tables <= set(readable):
                read = {name: readable[name] for name in sql.tables} | {BATCH: steps[table].columns}
                problems += unknown_columns(sql, read, pseudo)
                problems += [] if problems else statement_problems(sql, read, declared.sources, bindable)
            yield from problems


def order(
    binding: Binding, compiled: Mapping[str, CompiledSql], suites: Mapping[str, BoundSuite]
) -> tuple[tuple[str, ...], list[Problem]]:
    """The pipeline's tables in the order of their reading one another; a cycle is a problem that names it."""
    tables = [step.table for step in binding.template.spec.steps]
    texts = {t: readers(compiled.get(t), suites[t]) for t in tables}
    graph = {t: {name for text in texts[t] for name in text.tables if name in tables and name != t} for t in tables}
    cycle = find_cycle(graph)
    if not cycle:
        return tuple(TopologicalSorter(graph).static_order()), []
    reader, read = cycle[:2]
    sql, line = next((s, s.line(r.line)) for s in texts[reader] for r in s.references if r.name == read)
    message = f"tables read one another in a circle: {' -> '.join(cycle)}"
    return (), [Problem(sql.file, line, read, message, "an earlier table or a source")]


def find_cycle(graph: Mapping[str, Iterable[str]]) -> Sequence[str]:
    """Tables that read one another in a circle, each followed by one that it reads; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()


def readers(sql: CompiledSql | None, suite: BoundSuite) -> tuple[CompiledSql, ...]:
    """All texts that are run for a table."""
    return ((sql,) if sql else ()) + suite.queries


def _misread_tables(
    sql: CompiledSql, readable: Mapping[str, object], own_table: str | None, *, is_complete: bool
) -> Iterator[Problem]:
    for reference in sql.references:
        line = sql.line(reference.line)
        if reference.name == own_table:
            message = "the step reads the table it makes"
            yield Problem(sql.file, line, reference.name, message, "an earlier table or a source")
        elif reference.name not in readable and is_complete:
            message = "no step makes this table and no source declares it"
            near = nearest(reference.name, readable)
            yield Problem(sql.file, line, reference.name, message, listing(readable), near)
            yield from misnamed(sql, reference.name, reference.line)


def _unbound(sql: CompiledSql, bindable: Mapping[str, str]) -> Iterator[Problem]:
    for name in sorted(sql.parameters - bindable.keys()):
        line = next((i for i, text in enumerate(sql.text.splitlines(), 1) if f"@{name}" in text), 1)
        near = nearest(name, bindable)
        yield Problem(sql.file, sql.line(line), f"@{name}", "unknown query parameter", listing(bindable), near)
