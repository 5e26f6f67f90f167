"""Step SQL from template to text: Jinja for structure, table names by position, parameters left bound."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import jinja2
import sqlglot
from jinja2.sandbox import SandboxedEnvironment
from sqlglot import exp

from convergence_assets.pipelines.problems import Problem, listing, nearest

RUN_PARAMETERS = frozenset({
    "partition_start", "partition_end", "first_partition_date", "last_partition_date", "partition_date", "timezone",
})  # fmt: skip

_JINJA = SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
_BATCH = "__batch__"


class TemplateError(ValueError):
    """A template that cannot be used; carries its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(p.render() for p in problems))
        self.problems = problems


@dataclass(frozen=True)
class TableReference:
    """A bare table name in a text: [start, end) in characters, `line` 1-based."""

    name: str
    start: int
    end: int
    line: int


@dataclass(frozen=True)
class CompiledSql:
    """Rendered SQL: the tables it reads by bare name and the query parameters it binds."""

    file: str
    text: str
    references: tuple[TableReference, ...]
    parameters: frozenset[str]
    source_lines: tuple[int, ...]

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(r.name for r in self.references)

    def line(self, rendered_line: int) -> int:
        """The template's line of a line of `text`."""
        return self.source_lines[min(rendered_line, len(self.source_lines)) - 1] if self.source_lines else 1

    def resolve(self, names: Mapping[str, str]) -> str:
        """The text with every bare table name replaced; all else stays as the author wrote it."""
        text = self.text
        for reference in reversed(self.references):
            text = text[: reference.start] + names[reference.name] + text[reference.end :]
        return text


@lru_cache(maxsize=4096)
def compile_sql(file: str, template: str, variables: frozenset[tuple[str, object]]) -> CompiledSql:
    """Render and parse one template; raises `TemplateError` with file and line."""
    text = render(file, template, dict(variables))
    lines = _source_lines(template, text)
    tree = _parsed(file, text, lines)
    parameters = frozenset(p.name for p in tree.find_all(exp.Parameter))
    return CompiledSql(file, text, _references(text, tree), parameters, lines)


def render(file: str, template: str, variables: Mapping[str, object]) -> str:
    """Jinja in a sandbox; an unknown variable is a `TemplateError`, never an empty string."""
    try:
        return _compiled_template(template).render(variables)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError((Problem(file, error.lineno, "", f"template: {error.message}"),)) from None
    except jinja2.UndefinedError as error:
        name = re.search(r"'([^']+)' is undefined", str(error))
        line = _line_of(template, name[1]) if name else 1
        unknown = name[1] if name else str(error)
        raise TemplateError(
            (
                Problem(
                    file, line, unknown, "unknown template variable", listing(variables), nearest(unknown, variables)
                ),
            )
        ) from None
    except Exception as error:
        raise TemplateError((Problem(file, 1, "", f"template: {error}"),)) from None


def resolve_tables(sql: str, names: Mapping[str, str]) -> str:
    """A query of a suite with its bare table names replaced; names it does not know stay."""
    tree = sqlglot.parse_one(sql, read="bigquery")
    for reference in reversed(_references(sql, tree)):
        if reference.name in names:
            sql = sql[: reference.start] + names[reference.name] + sql[reference.end :]
    return sql


def compile_query(file: str, line: int, query: str) -> CompiledSql:
    """An `unexpected_rows_query` of a suite, `{batch}` standing as a table; `line` is where its text begins."""
    lines = tuple(range(line, line + query.count("\n") + 1))
    try:
        read = _read_query(query)
    except TemplateError as error:
        placed = (replace(p, file=file, line=lines[min((p.line or 1), len(lines)) - 1]) for p in error.problems)
        raise TemplateError(tuple(placed)) from None
    return replace(read, file=file, source_lines=lines)


@lru_cache(maxsize=4096)
def _read_query(query: str) -> CompiledSql:
    # Tenants share their templates' queries, so that each text is parsed once whatever file it stands in.
    text = query.replace("{batch}", _BATCH)
    lines = tuple(range(1, text.count("\n") + 2))
    tree = _parsed("", text, lines)
    references = tuple(r for r in _references(text, tree) if r.name != _BATCH)
    return CompiledSql("", text, references, frozenset(p.name for p in tree.find_all(exp.Parameter)), lines)


@lru_cache(maxsize=1024)
def _compiled_template(template: str) -> jinja2.Template:
    return _JINJA.from_string(template)


def _parsed(file: str, text: str, lines: tuple[int, ...]) -> exp.Expr:
    try:
        statements = [s for s in sqlglot.parse(text, read="bigquery") if s is not None]
    except sqlglot.errors.SqlglotError as error:
        said = (getattr(error, "errors", None) or [{}])[0]
        at = said.get("line") or _odd_quotes(text)
        message = f"SQL syntax: {said.get('description') or str(error).splitlines()[0]}"
        line = lines[min(at, len(lines)) - 1] if lines else 1
        raise TemplateError((Problem(file, line, "", message),)) from None
    except Exception as error:  # sqlglot 30 lets a function's builder fail with what it likes on wrong arguments
        message = f"SQL syntax: {type(error).__name__}: {error}"
        raise TemplateError((Problem(file, _failing_line(text, lines), "", message),)) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        found = f"{len(statements)} statements" if len(statements) != 1 else type(statements[0]).__name__.upper()
        raise TemplateError((Problem(file, lines[0] if lines else 1, "", f"found {found}", "one SELECT"),))
    return statements[0]


def _odd_quotes(text: str) -> int:
    """The first line that opens a string and does not close it: a tokenizer notices only at the text's end."""
    for number, line in enumerate(text.splitlines(), 1):
        if any(line.count(quote) % 2 for quote in "'\"`"):
            return number
    return 1


def _failing_line(text: str, lines: tuple[int, ...]) -> int:
    """Where a text begins to fail for another reason than being cut off: its shortest failing beginning's last line."""
    written = text.splitlines()
    for n in range(1, len(written) + 1):
        try:
            sqlglot.parse("\n".join(written[:n]), read="bigquery")
        except sqlglot.errors.SqlglotError:
            continue
        except Exception:
            return lines[min(n, len(lines)) - 1]
    return lines[0] if lines else 1


def _references(text: str, tree: exp.Expr) -> tuple[TableReference, ...]:
    made = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    found = []
    for table in tree.find_all(exp.Table):
        if table.db or not isinstance(table.this, exp.Identifier) or table.name.lower() in made:
            continue
        if _is_a_column_of_its_query(table):
            continue
        meta = table.this.meta
        start, end = meta["start"], meta["end"] + 1
        if text[start - 1 : start] == "`":
            start, end = start - 1, end + 1
        found.append(TableReference(table.name, start, end, text[:start].count("\n") + 1))
    return tuple(sorted(found, key=lambda r: r.start))


def _is_a_column_of_its_query(table: exp.Table) -> bool:
    """BigQuery reads `FROM t, t.items` as an unnest; with a bare alias it is a correlated array, not a table."""
    select = table.find_ancestor(exp.Select)
    if select is None:
        return False
    return table.name in {t.alias for t in select.find_all(exp.Table) if t is not table and t.alias}


def _source_lines(template: str, text: str) -> tuple[int, ...]:
    """For every line of the rendered text the line of the template that it came from, as near as can be told."""
    written, made = template.splitlines(), text.splitlines()
    if len(written) == len(made):
        return tuple(range(1, len(made) + 1))
    lines, at = [], 0
    for line in made:
        same = next((i for i in range(at, len(written)) if written[i].strip() == line.strip()), None)
        at = at if same is None else same
        lines.append(at + 1)
        at = min(at + 1, len(written) - 1)
    return tuple(lines)


def _line_of(template: str, name: str) -> int:
    found = re.search(rf"\b{re.escape(name)}\b", template)
    return template[: found.start()].count("\n") + 1 if found else 1


__all__ = ["CompiledSql", "TableReference", "TemplateError", "compile_query", "compile_sql", "render", "resolve_tables"]
