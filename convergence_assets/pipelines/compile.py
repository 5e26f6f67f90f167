"""Step SQL from template to text: Jinja for structure, table names by position, parameters left bound."""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import jinja2
import sqlglot
from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from convergence_assets.pipelines.parameters import PrintedValue
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.sql_names import (
    ColumnName,
    TableReference,
    needed_columns,
    qualified_tables,
    returned_columns,
    table_references,
    unread_names,
)
from convergence_assets.pipelines.sql_size import MOST_TABLES, oversize
from convergence_assets.pipelines.templating import FILTER_NAMES, OutOfBounds, rendered
from convergence_assets.temporary_functions import NotOneStatement, parted, statement_of

RUN_PARAMETER_TYPES = {
    "partition_start": "TIMESTAMP", "partition_end": "TIMESTAMP", "first_partition_date": "DATE",
    "last_partition_date": "DATE", "partition_date": "DATE", "timezone": "STRING",
}  # fmt: skip
"""What every run binds, by name, with BigQuery's types."""
RUN_PARAMETERS = frozenset(RUN_PARAMETER_TYPES)

_NAMES = (TokenType.VAR, TokenType.IDENTIFIER)
BATCH = "__batch__"
"""What `{batch}` of a suite's query is called while its text is read."""


class TemplateError(ValueError):
    """A template that cannot be used; carries its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(p.render() for p in problems))
        self.problems = problems


@dataclass(frozen=True)
class Names:
    """What names in SQL become: a bare table's name any relation, a column's name (in lower case) another name."""

    tables: Mapping[str, str]
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CompiledSql:
    """Rendered SQL: the tables it reads by bare name, the columns it needs of them, the parameters it binds.

    `returns` are its columns in order, None where a `*` leaves them open; `unread` are names it gives and never uses.
    """

    file: str
    text: str
    references: tuple[TableReference, ...]
    parameters: frozenset[str]
    needs: tuple[ColumnName, ...]
    returns: tuple[ColumnName, ...] | None
    unread: tuple[ColumnName, ...]
    source_lines: tuple[int, ...]

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(r.name for r in self.references)

    def line(self, rendered_line: int) -> int:
        """The template's line of a line of `text`."""
        return self.source_lines[min(rendered_line, len(self.source_lines)) - 1] if self.source_lines else 1

    def resolve(self, names: Names) -> str:
        """The text with every bare table name replaced; all else stays as the author wrote it."""
        return _with_names(self.text, self.references, names)


@lru_cache(maxsize=4096)
def compile_sql(file: str, template: str, variables: frozenset[tuple[str, object]]) -> CompiledSql:
    """Render and parse one template; raises `TemplateError` with file and line."""
    text = render(file, template, dict(variables))
    return _with_file_lines(file, text, _source_lines(template, text), _read_text)


def _with_file_lines(file: str, text: str, lines: tuple[int, ...], read: Callable[[str], CompiledSql]) -> CompiledSql:
    """The compiled text, or its problems, at the lines of its file."""
    try:
        return replace(read(text), file=file, source_lines=lines)
    except TemplateError as error:
        placed = (replace(p, file=file, line=lines[min((p.line or 1), len(lines)) - 1]) for p in error.problems)
        raise TemplateError(tuple(placed)) from None


@lru_cache(maxsize=4096)
def _read_text(text: str) -> CompiledSql:
    # Tenants share their templates, so that each text is parsed once, whichever file has it.
    return _compile_text("", text, tuple(range(1, text.count("\n") + 2)))


def render(file: str, template: str, variables: Mapping[str, object]) -> str:
    """Jinja in a sandbox; an unknown variable is a `TemplateError`, never an empty string."""
    try:
        return rendered(template, variables)
    except jinja2.TemplateSyntaxError as error:
        filter_match = re.fullmatch(r"No filter named '(\w+)'\.", error.message or "")
        filters, similar = (
            (listing(FILTER_NAMES), nearest(filter_match[1], FILTER_NAMES)) if filter_match else (None, None)
        )
        problem = Problem(file, error.lineno, "", f"template: {error.message}", filters, similar)
    except jinja2.UndefinedError as error:
        name_match = re.fullmatch(r"'([^']+)' is undefined", str(error))
        if name_match:
            unknown, variables_listed = name_match[1], listing(variables)
            near = nearest(unknown, variables)
            problem = Problem(file, _failed_at(error), unknown, "unknown template variable", variables_listed, near)
        else:
            problem = Problem(file, _failed_at(error), "", f"template: {error}")
    except PrintedValue as error:
        problem = Problem(file, _failed_at(error), "", f"template: {error}", "@name in its place")
    except OutOfBounds as error:
        problem = Problem(file, _failed_at(error), "", f"template: {error}", "SQL that is written out")
    except Exception as error:
        problem = Problem(file, _failed_at(error), "", f"template: {error or type(error).__name__}")
    raise TemplateError((problem,))


def _failed_at(error: BaseException) -> int:
    """The template's line that raised: Jinja maps its own code's lines back to the template's."""
    frames = traceback.walk_tb(error.__traceback__)
    return max([1, *(line for frame, line in frames if frame.f_code.co_filename == "<template>")])


def resolve_tables(sql: str, names: Names) -> str:
    """A query of a suite with its bare table names replaced; names it does not know stay."""
    tree = sqlglot.parse_one(sql, read="bigquery")
    return _with_names(sql, [r for r in table_references(sql, tree) if r.name in names.tables], names)


def _with_names(text: str, references: Sequence[TableReference], names: Names) -> str:
    places = [(r.start, r.end, _relation(r, names.tables[r.name])) for r in references]
    if names.columns:
        places += [
            (token.start, token.end + 1, names.columns[token.text.lower()])
            for token in sqlglot.tokenize(text, read="bigquery")
            if token.token_type in _NAMES and token.text.lower() in names.columns
        ]
    for start, end, name in sorted(places, reverse=True):
        text = text[:start] + name + text[end:]
    return text


def _relation(reference: TableReference, relation: str) -> str:
    """A query in a table's place keeps the table's name where the text gives it no other."""
    if not relation.startswith("("):
        return relation
    return relation if reference.aliased else f"{relation} AS `{reference.name}`"


def compile_query(file: str, line: int, query: str) -> CompiledSql:
    """An `unexpected_rows_query` of a suite, with `{batch}` as a table; `line` is where its text begins."""
    lines = tuple(range(line, line + query.count("\n") + 1))
    return _with_file_lines(file, query, lines, _read_query)


@lru_cache(maxsize=4096)
def _read_query(query: str) -> CompiledSql:
    if parted(query)[0]:
        raise TemplateError((Problem("", 1, "", "found temporary functions before the SELECT", "one SELECT"),))
    read = _read_text(query.replace("{batch}", BATCH))
    return replace(read, references=tuple(r for r in read.references if r.name != BATCH))


def _compile_text(file: str, text: str, lines: tuple[int, ...]) -> CompiledSql:
    tree = _parse_text(file, text, lines)
    qualified = [
        Problem(
            file,
            lines[min(table.line, len(lines)) - 1],
            table.name,
            "tables are written bare",
            "a step's table, or a source's name; UNNEST(t.items) AS item for an array",
        )
        for table in qualified_tables(tree)
    ]
    if qualified:
        raise TemplateError(tuple(qualified))
    if (count := sum(1 for _ in tree.find_all(exp.Table))) > MOST_TABLES:
        message = f"{count} tables are read in one statement"
        raise TemplateError((Problem(file, lines[0] if lines else 1, "", message, f"at most {MOST_TABLES}"),))
    parameters = frozenset(p.name for p in tree.find_all(exp.Parameter))
    references = table_references(text, tree)
    return CompiledSql(
        file, text, references, parameters, needed_columns(tree), returned_columns(tree), unread_names(tree), lines
    )


def _parse_text(file: str, text: str, lines: tuple[int, ...]) -> exp.Query:
    if excess := oversize(text):
        at, message, expected = excess
        raise TemplateError((Problem(file, lines[min(at, len(lines)) - 1] if lines else 1, "", message, expected),))
    try:
        statement = statement_of(sqlglot.parse(text, read="bigquery"))
    except NotOneStatement as error:
        raise TemplateError((Problem(file, lines[0] if lines else 1, "", str(error), "one SELECT"),)) from None
    except sqlglot.errors.SqlglotError as error:
        first_error = (getattr(error, "errors", None) or [{}])[0]
        described = first_error.get("description") or str(error).splitlines()[0]
        at = min(
            _odd_quotes(text) or first_error.get("line") or _quoted(text, described),
            first_error.get("line") or len(lines),
        )
        line = lines[min(at, len(lines)) - 1] if lines else 1
        described = re.sub(r"<class '[\w.]*?(\w+)'>", r"\1", described)
        raise TemplateError((Problem(file, line, "", f"SQL syntax: {described}"),)) from None
    except Exception as error:  # sqlglot 30 lets a function's builder fail with what it likes on wrong arguments
        message = f"SQL syntax: {type(error).__name__}: {error}"
        raise TemplateError((Problem(file, _failing_line(text, lines), "", message),)) from None
    if not isinstance(statement, exp.Query):
        kind = type(statement).__name__.upper()
        raise TemplateError((Problem(file, lines[0] if lines else 1, "", f"found {kind}", "one SELECT"),))
    return statement


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


def _failing_line(text: str, lines: tuple[int, ...]) -> int:
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
    return lines[min(low, len(lines)) - 1] if lines else 1


def _source_lines(template: str, text: str) -> tuple[int, ...]:
    """For every line of the rendered text the line of the template that it came from, as near as can be found."""
    template_lines, rendered_lines = template.splitlines(), text.splitlines()
    if len(template_lines) == len(rendered_lines):
        return tuple(range(1, len(rendered_lines) + 1))
    lines, at = [], 0
    for line in rendered_lines:
        match = next((i for i in range(at, len(template_lines)) if template_lines[i].strip() == line.strip()), None)
        at = at if match is None else match
        lines.append(at + 1)
        at = min(at + 1, len(template_lines) - 1)
    return tuple(lines)
