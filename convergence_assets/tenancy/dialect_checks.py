"""Checks of compiled SQL against BigQuery and the embedded engine, once for each distinct text and tables."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from functools import cache

from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.models import ColumnSpec, SourceSpec, TableStep
from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_source import Path, Source, spelled
from convergence_assets.warehouse import result_schema
from convergence_assets.warehouse.duckdb.outcomes import Outcome, outcome
from convergence_assets.warehouse.duckdb.sql_problems import SqlProblem, problems_by_name
from convergence_assets.warehouse.googlesql.module import AnalyzerMissing
from convergence_assets.warehouse.schema import TABLE_SUFFIX, Column

Columns = tuple[ColumnSpec, ...]

_CACHE_SIZE = 4096
_outcomes: dict[tuple[object, ...], Outcome] = {}
# By identity, since templates share their column tuples; they are kept here so that an id stays theirs.
_contents: dict[int, tuple[str, Columns]] = {}
_log = logging.getLogger(__name__)


def statement_problems(
    sql: CompiledSql, types: Mapping[str, Columns], sources: Mapping[str, SourceSpec], parameters: Mapping[str, str],
    makes: tuple[TableStep, Source, Path] | None = None,
) -> Iterator[Problem]:  # fmt: skip
    """What BigQuery refuses of a SELECT, and what the embedded engine has no form for, at the lines of its template.

    `types` are the columns of what it reads, `sources` those of it that are sources, `parameters` BigQuery's types by
    name; `makes` is the step whose table it makes, and where that is declared.
    """
    analyzed = _outcome(sql, types, sources, parameters)
    if analyzed is None:
        yield from _placed(sql, tuple(problems_by_name(sql.text)))
        return
    yield from _refused(sql, analyzed)
    yield from _placed(sql, analyzed.unsupported)
    if makes is not None and not analyzed.refusals:
        yield from _misfitting_types(sql, analyzed, *makes)


def _outcome(
    sql: CompiledSql, types: Mapping[str, Columns], sources: Mapping[str, SourceSpec], parameters: Mapping[str, str]
) -> Outcome | None:
    bound_types = {name: parameters[name] for name in sorted(sql.parameters & parameters.keys())}
    pseudo = {name: pseudo_columns(spec) for name, spec in sources.items() if name in types}
    key = (*_key(sql, types), tuple(bound_types.items()), frozenset(pseudo.items()))
    analyzed = _outcomes.get(key)
    if analyzed is None:
        tables = {name: tuple(map(column, columns)) for name, columns in types.items()}
        try:
            analyzed = outcome(sql.text, tables, bound_types, pseudo)
        except AnalyzerMissing as missing:
            _warn_of_missing_analyzer(str(missing))
            return None
        if len(_outcomes) >= _CACHE_SIZE:
            _outcomes.clear()
        _outcomes[key] = analyzed
    return analyzed


@cache
def _warn_of_missing_analyzer(why: str) -> None:
    _log.warning("SQL is checked without Google's analyzer, by the names of its functions alone: %s", why)


def _misfitting_types(
    sql: CompiledSql, analyzed: Outcome, step: TableStep, source: Source, path: Path
) -> Iterator[Problem]:
    lines = {c.name.lower(): sql.line(c.line) for c in sql.returns or ()}
    returned = {c.name.lower(): c for c in analyzed.columns}
    for i, spec in enumerate(step.columns):
        actual, declared = returned.get(spec.name.lower()), column(spec)
        if actual is None or result_schema.fits(actual, declared):
            continue
        message = (
            f"the table declares {result_schema.spelled(declared)} and the SQL gives {result_schema.spelled(actual)}"
        )
        cast = None if declared.fields or declared.mode == "REPEATED" else f"CAST(... AS {declared.type})"
        yield Problem(sql.file, lines.get(spec.name.lower(), 1), spec.name, message, cast)
        at = (*path, "columns", i, "type")
        at_sql = f"{sql.file}:{lines.get(spec.name.lower(), 1)} gives {result_schema.spelled(actual)}"
        yield Problem(source.file, source.line(at), spelled(at), at_sql)


def _refused(sql: CompiledSql, analyzed: Outcome) -> Iterator[Problem]:
    for refusal in analyzed.refusals:
        yield Problem(sql.file, sql.line(refusal.line), "", f"{refusal.message} (column {refusal.column})")


def _placed(sql: CompiledSql, problems: tuple[SqlProblem, ...]) -> Iterator[Problem]:
    for problem in problems:
        yield Problem(sql.file, sql.line(problem.line), "", problem.message, problem.remedy)


def _key(sql: CompiledSql, types: Mapping[str, Columns]) -> tuple[object, ...]:
    return sql.text, frozenset((name, _content(columns)) for name, columns in types.items())


def _content(columns: Columns) -> str:
    entry = _contents.get(id(columns))
    if entry is None:
        if len(_contents) >= _CACHE_SIZE:
            _contents.clear()
        entry = (hashlib.sha256(repr(columns).encode()).hexdigest(), columns)
        _contents[id(columns)] = entry
    return entry[0]


def column(spec: ColumnSpec) -> Column:
    """A declared column as the warehouse takes it."""
    return Column(spec.name, spec.type, spec.mode, spec.description, tuple(column(f) for f in spec.fields))


def pseudo_columns(spec: SourceSpec) -> tuple[Column, ...]:
    """What BigQuery fills by itself in a source's table: its ingestion time, and of a wildcard table the suffix."""
    name = spec.partition_column
    declared = {c.name.lower() for c in spec.columns}
    ingested = (Column(name, "TIMESTAMP"),) if name and name.lower() not in declared else ()
    return (*ingested, Column(TABLE_SUFFIX, "STRING")) if spec.is_wildcard else ingested
