"""Compiled SQL held against the embedded engine's portability rules, once for each distinct text and tables."""

import hashlib
from collections.abc import Iterator, Mapping

from convergence_assets.pipelines.compile import CompiledSql
from convergence_assets.pipelines.models import ColumnSpec
from convergence_assets.pipelines.problems import Problem
from convergence_assets.warehouse.duckdb.portability import SqlProblem
from convergence_assets.warehouse.duckdb.transpile import portability_problems
from convergence_assets.warehouse.schema import Column

Columns = tuple[ColumnSpec, ...]

_MOST_KNOWN = 4096
_known: dict[tuple[str, frozenset[tuple[str, str]]], tuple[SqlProblem, ...]] = {}
# By identity, since templates share their column tuples; these are held here so that an id stays theirs.
_contents: dict[int, tuple[str, Columns]] = {}


def portability(sql: CompiledSql, types: Mapping[str, Columns]) -> Iterator[Problem]:
    """The problems of one SELECT at the lines of its template."""
    key = (sql.text, frozenset((name, _content(columns)) for name, columns in types.items()))
    found = _known.get(key)
    if found is None:
        declared = {name: {c.name: column(c) for c in columns} for name, columns in types.items()}
        found = portability_problems(sql.text, declared)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    for problem in found:
        yield Problem(sql.file, sql.line(problem.line), "", problem.message, problem.remedy)


def _content(columns: Columns) -> str:
    held = _contents.get(id(columns))
    if held is None:
        if len(_contents) >= _MOST_KNOWN:
            _contents.clear()
        held = (hashlib.sha256(repr(columns).encode()).hexdigest(), columns)
        _contents[id(columns)] = held
    return held[0]


def column(spec: ColumnSpec) -> Column:
    """A declared column as the warehouse takes it."""
    return Column(spec.name, spec.type, spec.mode, spec.description, tuple(column(f) for f in spec.fields))
