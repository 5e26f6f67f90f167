"""Step SQL from template to text: Jinja for structure, table names by position, parameters left bound."""

import hashlib
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import jinja2

from convergence_assets.kept_results import KeptResults, code_version
from convergence_assets.pipelines.compiled_sql import CompiledSql, Names, with_names
from convergence_assets.pipelines.parameters import PrintedValue
from convergence_assets.pipelines.problems import Problem, TemplateError, listing, nearest
from convergence_assets.pipelines.templating import FILTER_NAMES, OutOfBounds, rendered
from convergence_assets.temporary_functions import parted

RUN_PARAMETER_TYPES = {
    "partition_start": "TIMESTAMP", "partition_end": "TIMESTAMP", "first_partition_date": "DATE",
    "last_partition_date": "DATE", "partition_date": "DATE", "timezone": "STRING",
}  # fmt: skip
"""What every run binds, by name, with BigQuery's types."""
RUN_PARAMETERS = frozenset(RUN_PARAMETER_TYPES)

BATCH = "__batch__"
"""What `{batch}` of a suite's query is called while its text is read."""


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
    key = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    kept = kept_names()
    statement = CompiledSql.of(text, kept.read(key))
    if statement is None:
        from convergence_assets.pipelines.sql_reading import read_statement  # it imports sqlglot: 0.1 s

        statement = read_statement(text)
        kept.write(key, statement.names())
    return statement


@cache
def kept_names() -> KeptResults:
    here = Path(__file__).parent
    files = [here / f"{name}.py" for name in ("compiled_sql", "sql_names", "sql_reading", "sql_size")]
    functions = here.parent / "temporary_functions.py"
    return KeptResults("names", code_version([*files, functions], ["sqlglot"]))


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
    import sqlglot

    from convergence_assets.pipelines.sql_names import table_references

    tree = sqlglot.parse_one(sql, read="bigquery")
    return with_names(sql, [r for r in table_references(sql, tree) if r.name in names.tables], names)


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
