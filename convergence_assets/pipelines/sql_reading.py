"""One SELECT read from its text: tables, columns and parameters, or what is wrong with it and where."""

import re

import sqlglot
from sqlglot import exp

from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.problems import Problem, TemplateError
from convergence_assets.pipelines.sql_names import (
    needed_columns,
    qualified_tables,
    returned_columns,
    table_references,
    unread_names,
)
from convergence_assets.pipelines.sql_size import MOST_TABLES, oversize
from convergence_assets.temporary_functions import NotOneStatement, statement_of


def read_statement(text: str) -> CompiledSql:
    """What stands in a SELECT. Raises `TemplateError` with the lines of the text, which name no file."""
    tree = _parse(text)
    qualified = [
        Problem(
            "",
            _clamped(table.line, text),
            table.name,
            "tables are written bare",
            "a step's table, or a source's name; UNNEST(t.items) AS item for an array",
        )
        for table in qualified_tables(tree)
    ]
    if qualified:
        raise TemplateError(tuple(qualified))
    if (count := sum(1 for _ in tree.find_all(exp.Table))) > MOST_TABLES:
        raise _problem(1, f"{count} tables are read in one statement", f"at most {MOST_TABLES}")
    parameters = frozenset(p.name for p in tree.find_all(exp.Parameter))
    references = table_references(text, tree)
    lines = tuple(range(1, _line_count(text) + 1))
    return CompiledSql(
        "", text, references, parameters, needed_columns(tree), returned_columns(tree), unread_names(tree), lines
    )


def _parse(text: str) -> exp.Query:
    if excess := oversize(text):
        at, message, expected = excess
        raise _problem(_clamped(at, text), message, expected)
    try:
        statement = statement_of(sqlglot.parse(text, read="bigquery"))
    except NotOneStatement as error:
        raise _problem(1, str(error), "one SELECT") from None
    except sqlglot.errors.SqlglotError as error:
        first_error = (getattr(error, "errors", None) or [{}])[0]
        described = first_error.get("description") or str(error).splitlines()[0]
        at = min(
            _odd_quotes(text) or first_error.get("line") or _quoted(text, described),
            first_error.get("line") or _line_count(text),
        )
        described = re.sub(r"<class '[\w.]*?(\w+)'>", r"\1", described)
        raise _problem(_clamped(at, text), f"SQL syntax: {described}") from None
    except Exception as error:  # sqlglot 30 lets a function's builder fail with what it likes on wrong arguments
        raise _problem(_failing_line(text), f"SQL syntax: {type(error).__name__}: {error}") from None
    if not isinstance(statement, exp.Query):
        raise _problem(1, f"found {type(statement).__name__.upper()}", "one SELECT")
    return statement


def _problem(line: int, message: str, expected: str | None = None) -> TemplateError:
    return TemplateError((Problem("", line, "", message, expected),))


def _line_count(text: str) -> int:
    return text.count("\n") + 1


def _clamped(line: int, text: str) -> int:
    return min(line, _line_count(text))


def _odd_quotes(text: str) -> int | None:
    """The first line that opens a string and does not close it: the text fails only where the string ends."""
    if '"""' in text or "'''" in text:
        return None
    for number, line in enumerate(text.splitlines(), 1):
        code = next((line[: m.start()] for m in re.finditer("--", line) if _are_even(line[: m.start()])), line)
        if not _are_even(code):
            return number
    return None


def _are_even(code: str) -> bool:
    bare = re.sub(r"\\.", "", re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", "", code))
    return not any(quote in bare for quote in "'\"`")


def _quoted(text: str, description: str) -> int:
    """The line of the word that a message without a place quotes."""
    for word in re.findall(r"'(\w+)'", description):
        match = re.search(rf"\b{word}\b", text)
        if match:
            return text[: match.start()].count("\n") + 1
    return 1


def _failing_line(text: str) -> int:
    """Where a text begins to fail for another reason than being cut off: the last line of such a beginning."""
    text_lines = text.splitlines()
    low, high = 1, len(text_lines)
    while low < high:
        middle = (low + high) // 2
        try:
            sqlglot.parse("\n".join(text_lines[:middle]), read="bigquery")
            fails = False
        except sqlglot.errors.SqlglotError:
            fails = False
        except Exception:
            fails = True
        low, high = (low, middle) if fails else (middle + 1, high)
    return _clamped(low, text)
