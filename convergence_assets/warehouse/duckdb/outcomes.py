"""What became of a statement: BigQuery's refusal, or its columns and the text that the embedded engine runs.

Analyzing takes a tenth of a second and a hundred megabytes, so an outcome is kept in a file by the content it follows
from: the text, the columns it may read, its parameters' types, and this code. A thousand tenants over the same
templates are a handful of files; a load or a worker that finds them never starts the analyzer.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from convergence_assets.kept_results import KeptResults, code_version
from convergence_assets.warehouse.duckdb.sql_problems import SqlProblem
from convergence_assets.warehouse.schema import Column

_MARK = "\0"
_PLANNING = "convergence_assets.warehouse.duckdb.generator.planning"
_MOST_IN_MEMORY = 4096
_in_memory: dict[str, "Outcome"] = {}

Columns = Mapping[str, Sequence[Column]]
_NONE: Columns = {}


@dataclass(frozen=True)
class Outcome:
    """`refusals` are BigQuery's own words, `unsupported` what the embedded engine has no form for.

    Without refusals `columns` are what the statement returns; without either `text` is DuckDB's.
    """

    refusals: tuple[SqlProblem, ...]
    unsupported: tuple[SqlProblem, ...]
    columns: tuple[Column, ...]
    text: str = ""

    def over(self, relations: Mapping[str, str]) -> str:
        """The text with DuckDB's relations in the place of the tables' names, in lower case."""
        parts = self.text.split(_MARK)
        return "".join(relations[part] if at % 2 else part for at, part in enumerate(parts))


def outcome(
    sql: str, tables: Columns, parameters: Mapping[str, str], pseudo_columns: Columns = _NONE, *, keep: bool = True
) -> Outcome:
    """From memory, from a file, or worked out now; `keep` writes it to a file.

    `tables` are columns by the names that the statement uses, `pseudo_columns` those that are read by name alone,
    `parameters` types by name. Raises `AnalyzerMissing` where it is not known and cannot be worked out.
    """
    key = _key(sql, tables, parameters, pseudo_columns)
    result = _in_memory.get(key) or _read(key)
    if result is None:
        result = _analyze_statement(sql, tables, parameters, pseudo_columns)
        if keep:
            kept_outcomes().write(key, asdict(result))
    if len(_in_memory) >= _MOST_IN_MEMORY:
        _in_memory.clear()
    _in_memory[key] = result
    return result


def _analyze_statement(sql: str, tables: Columns, parameters: Mapping[str, str], pseudo_columns: Columns) -> Outcome:
    from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
    from convergence_assets.warehouse.duckdb.generator.planning import check_plan
    from convergence_assets.warehouse.duckdb.generator.statement import generated
    from convergence_assets.warehouse.googlesql.analysis import analyzed
    from convergence_assets.warehouse.googlesql.client import Failed, Refused

    try:
        analysis = analyzed(sql, tables, parameters, pseudo_columns)
    except Refused as refused:
        problem = SqlProblem(refused.line or 1, refused.column or 1, refused.message, "")
        return Outcome((problem,), (), ())
    except Failed as failed:
        problem = SqlProblem(1, 1, f"Google's SQL analyzer broke down at it: {failed}", "write it in a simpler way")
        return Outcome((problem,), (), ())
    names = {name.lower(): f"{_MARK}{name.lower()}{_MARK}" for name in tables}
    try:
        text = generated(analysis.statement, names, analysis.functions)
        result = Outcome((), (), analysis.columns, text)
        every = {name: (*columns, *pseudo_columns.get(name, ())) for name, columns in tables.items()}
        check_plan(result, every, parameters)
    except Unsupported as unsupported:
        line, column = place(sql, unsupported.place)
        problem = SqlProblem(line, column, unsupported.message, unsupported.remedy)
        return Outcome((), (problem,), analysis.columns)
    return result


def release() -> None:
    """Let go of what DuckDB plans with, 90 MB, after a load that had to.

    The analyzer's 50 MB stay: a process that is forked later cannot start another.
    """
    if _PLANNING in sys.modules:
        from convergence_assets.warehouse.duckdb.generator import planning

        planning.release()


def place(sql: str, byte: int | None) -> tuple[int, int]:
    """Line and column, 1-based, of a byte of the statement; (1, 1) where there is none."""
    from convergence_assets.warehouse.statements import line_and_column

    return line_and_column(sql.encode()[: byte or 0].decode(errors="ignore"))


def _key(sql: str, tables: Columns, parameters: Mapping[str, str], pseudo_columns: Columns) -> str:
    shapes = {name.lower(): list(map(_shape, columns)) for name, columns in tables.items()}
    pseudo = {name.lower(): list(map(_shape, columns)) for name, columns in pseudo_columns.items() if columns}
    content = json.dumps([sql, shapes, pseudo, dict(parameters)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _shape(column: Column) -> list[Any]:
    return [column.name, column.type, column.mode == "REPEATED", *map(_shape, column.fields)]


def _read(key: str) -> Outcome | None:
    with suppress(KeyError, TypeError):
        return _parsed(kept_outcomes().read(key))
    return None


def _parsed(content: dict[str, Any]) -> Outcome:
    refusals, unsupported = (tuple(SqlProblem(**p) for p in content[key]) for key in ("refusals", "unsupported"))
    return Outcome(refusals, unsupported, tuple(map(_column, content["columns"])), content["text"])


def _column(content: dict[str, Any]) -> Column:
    return Column(content["name"], content["type"], content["mode"], fields=tuple(map(_column, content["fields"])))


@cache
def kept_outcomes() -> KeptResults:
    """With all that an outcome follows from beside its statement: this code, the analyzer, the engine, what checks its
    regular expressions and time zones."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *(here / "generator").glob("*.py"), *(here.parent / "googlesql").glob("*.py")]
    return KeptResults("sql", code_version(files, ["zetasql", "duckdb", "google-re2", "tzdata"]))
