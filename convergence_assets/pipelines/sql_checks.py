"""A compiled SELECT against declared tables: columns that no table has, results that do not fit the step's table."""

from collections.abc import Iterator, Mapping, Sequence

from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.models import ColumnSpec, TableStep
from convergence_assets.pipelines.problems import Problem, nearest
from convergence_assets.pipelines.yaml_source import Path, Source, spelled


def unknown_columns(
    sql: CompiledSql, read: Mapping[str, Sequence[ColumnSpec]], pseudo_columns: frozenset[str]
) -> Iterator[Problem]:
    """Columns and fields that neither the tables in `read`, nor `pseudo_columns`, nor the statement have."""
    names = {name: name for name in pseudo_columns} | {
        name: name for columns in read.values() for name in _names(columns)
    }
    folded = {name.lower() for name in names}
    for column in sql.needs:
        if column.name.lower() not in folded:
            near = nearest(column.name, names)
            tables = ", ".join(sorted(read)) or "nothing"
            yield Problem(sql.file, sql.line(column.line), column.name, f"no column of {tables}", None, near)
            yield from misnamed(sql, column.name, column.line)


def misnamed(sql: CompiledSql, unknown: str, line: int) -> Iterator[Problem]:
    """A name of the statement's own that nothing reads, and that is close to the unknown one: either is misspelled."""
    near = nearest(unknown, [unread_name.name for unread_name in sql.unread])
    for unread_name in sql.unread:
        if unread_name.name == near:
            message = f"named here and read nowhere, while line {sql.line(line)} reads {unknown!r}"
            yield Problem(sql.file, sql.line(unread_name.line), unread_name.name, message, None, unknown)


def misfitting_result(sql: CompiledSql, step: TableStep, source: Source, path: Path) -> Iterator[Problem]:
    """Columns that the statement returns and the table, at `path` of its file, does not declare; the other way round.

    A mismatch is reported in both files: either may be the one to correct.
    """
    if sql.returns is None:
        return
    declared = {c.name.lower(): i for i, c in enumerate(step.columns)}
    returned = {c.name.lower(): sql.line(c.line) for c in reversed(sql.returns)}
    undeclared = [c.name for c in sql.returns if c.name.lower() not in declared]
    missing = [c.name for c in step.columns if c.name.lower() not in returned]
    before = path
    seen: set[str] = set()
    for i, column in enumerate(sql.returns, 1):
        line, name = sql.line(column.line), column.name.lower()
        if not name:
            yield Problem(sql.file, line, "", f"result column {i} has no name", "... AS name")
        elif name in seen:
            yield Problem(sql.file, line, column.name, f"returned twice (first in line {returned[name]})")
        elif name in declared:
            before = (*path, "columns", declared[name])
        else:
            near = nearest(column.name, missing)
            yield Problem(sql.file, line, column.name, f"table {step.table} declares no such column", None, near)
            message = f"{column.name} is returned in {sql.file}:{line} and not declared"
            yield Problem(source.file, source.end(before), spelled((*path, "columns")), message)
        seen.add(name)
    line = sql.returns[0].line if sql.returns else 1
    written = {c.name.lower(): c.line for c in sql.returns}
    for i, declaration in enumerate(step.columns):
        # Reported where a person would look for it: at the column that the table declares before it.
        line = written.get(declaration.name.lower(), line)
        if declaration.name in missing:
            near = nearest(declaration.name, undeclared)
            place = sql.line(_past_comments(sql.text, line))
            yield Problem(sql.file, place, declaration.name, f"declared by table {step.table} and not returned here")
            at = (*path, "columns", i, "name")
            message = f"{declaration.name} is not returned by {sql.file}"
            yield Problem(source.file, source.line(at), spelled(at), message, None, near)


def _past_comments(text: str, line: int) -> int:
    lines = text.splitlines()
    while line < len(lines) and lines[line].lstrip().startswith("--"):
        line += 1
    return line


def partition_not_returned(sql: CompiledSql, step: TableStep) -> Iterator[Problem]:
    """A query for unexpected rows has to say which partition a row belongs to."""
    if sql.returns is None or step.partition_column.lower() in {c.name.lower() for c in sql.returns}:
        return
    line = sql.line(sql.returns[0].line) if sql.returns else sql.line(1)
    message = f"the query does not return the partition column {step.partition_column}"
    yield Problem(sql.file, line, step.partition_column, message, "it among the selected columns")


def _names(columns: Sequence[ColumnSpec]) -> Iterator[str]:
    for column in columns:
        yield column.name
        yield from _names(column.fields)
