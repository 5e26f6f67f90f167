"""Compiled SQL held against the embedded engine's portability rules, once for each distinct text and tables."""

from collections.abc import Iterator, Mapping

from convergence_assets.pipelines.compile import CompiledSql
from convergence_assets.pipelines.models import ColumnSpec
from convergence_assets.pipelines.problems import Problem
from convergence_assets.warehouse.duckdb.portability import SqlProblem
from convergence_assets.warehouse.duckdb.transpile import portability_problems
from convergence_assets.warehouse.schema import Column

Columns = tuple[ColumnSpec, ...]

# Keyed by identity of the column tuples, which templates share; they are held here so that an id stays theirs.
_known: dict[tuple[str, tuple[tuple[str, int], ...]], tuple[tuple[SqlProblem, ...], list[Columns]]] = {}
_MOST_KNOWN = 4096


def portability(sql: CompiledSql, types: Mapping[str, Columns]) -> Iterator[Problem]:
    """The problems of one SELECT at the lines of its template."""
    key = (sql.text, tuple(sorted((name, id(columns)) for name, columns in types.items())))
    if key not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        declared = {name: {c.name: column(c) for c in columns} for name, columns in types.items()}
        _known[key] = (portability_problems(sql.text, declared), list(types.values()))
    for problem in _known[key][0]:
        yield Problem(sql.file, sql.line(problem.line), "", f"{problem.message}", problem.remedy)


def column(spec: ColumnSpec) -> Column:
    """A declared column as the warehouse takes it."""
    return Column(spec.name, spec.type, spec.mode, spec.description, tuple(column(f) for f in spec.fields))
