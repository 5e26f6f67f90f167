"""What tests of a step name: tables that its SQL reads, columns that they and the step's own table have."""

from collections.abc import Iterator, Mapping, Sequence

from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.models import BigQueryStep, ColumnSpec, TableStep
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.yaml_source import Path, Source, spelled


def misnamed_in_tests(
    sql: CompiledSql, readable: Mapping[str, Sequence[ColumnSpec]], step: TableStep, source: Source, path: Path
) -> Iterator[Problem]:
    """Names in a step's tests that nothing has; `path` is the step's in its file."""

    def problem(at: Path, message: str, names: Sequence[str]) -> Problem:
        name = str(at[-1])
        return Problem(source.file, source.line(at), spelled(at), message, listing(names), nearest(name, names))

    seen: set[str] = set()
    for i, test in enumerate(step.tests if isinstance(step, BigQueryStep) else ()):
        test_path = (*path, "tests", i)
        if test.name in seen:
            yield Problem(source.file, source.line((*test_path, "name")), spelled((*test_path, "name")), "stands twice")
        seen.add(test.name)
        columns = {name: readable[name] for name in sql.tables if name in readable} | {"": step.columns}
        for table, rows in (*test.given.items(), ("", test.expect)):
            place: Path = (*test_path, "given", table) if table else (*test_path, "expect")
            if table not in columns:
                yield problem(place, "the SQL reads no such table", sorted(columns.keys() - {""}))
                continue
            column_names = [column.name for column in columns[table]]
            for number, row in enumerate(rows):
                for name in row.keys() - set(column_names):
                    yield problem((*place, number, name), f"no column of {table or step.table}", column_names)
