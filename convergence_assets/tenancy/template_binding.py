"""One pipeline template bound to one tenant: its parameters, sources, SQL, suites and steps."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from convergence_assets.pipelines.catalog import PipelineTemplate
from convergence_assets.pipelines.compile import compile_query, compile_sql, render
from convergence_assets.pipelines.compiled_sql import CompiledSql
from convergence_assets.pipelines.models import BigQueryStep, ExpectationSpec, FilesStep, Severity, SuiteSpec
from convergence_assets.pipelines.parameters import (
    BETWEEN_TABLES,
    TABLE,
    WILDCARD,
    BoundValue,
    expected,
    is_bindable,
    typed,
)
from convergence_assets.pipelines.problems import Problem, TemplateError, listing, nearest
from convergence_assets.pipelines.rule_tables import rule_groups, rules_of
from convergence_assets.pipelines.suites import (
    UNEXPECTED_ROWS,
    check_names,
    expectation_problems,
    suite_problems,
    with_changes,
)
from convergence_assets.pipelines.templating import names_in
from convergence_assets.pipelines.yaml_source import Path, Source, spelled
from convergence_assets.tenancy.file_places import FilePlaces
from convergence_assets.tenancy.foreign_sources import unreadable
from convergence_assets.tenancy.tenant import PlacedTest, Step
from convergence_assets.tenancy.tenant import Source as BoundSource
from convergence_assets.tenancy.tenant_file import TenantPipelineSpec

MOST_SQL = 500_000
"""Characters of all SQL of one tenant, as its templates are rendered."""
MOST_TABLES = 200
"""Of one source."""
_LEFT: ContextVar[list[int] | None] = ContextVar(
    "characters of SQL that the tenant that is read may have", default=None
)
_NOWHERE = Problem("", None, "", "")
_SEVERITIES = ("critical", "info", "warning")


@dataclass(frozen=True)
class Binding:
    """A template, the tenant's spec for it, and where that is: its mistakes are reported in the tenant's file."""

    template: PipelineTemplate
    tenant_spec: TenantPipelineSpec
    file: Source
    path: Path

    def problem(self, key: Path, message: str, expected: str | None = None, suggestion: str | None = None) -> Problem:
        at = (*self.path, *key)
        return Problem(self.file.file, self.file.line(at), spelled(at), message, expected, suggestion)

    def problem_of_template(self, key: Path, problem: Problem) -> Problem:
        """A problem of a text inside `pipeline.yaml`, at the line of its key."""
        source = self.template.source
        return replace(problem, file=source.file, line=source.line(key), key=spelled(key))


@dataclass(frozen=True)
class BoundSuite:
    """A table's expectations with the tenant's changes, and the queries among them, in order."""

    spec: SuiteSpec
    queries: tuple[CompiledSql, ...]


class _Placed(NamedTuple):
    """An expectation, and where its arguments are."""

    spec: ExpectationSpec
    source: Source
    arguments: Path

    def query(self) -> CompiledSql:
        written = self.source.written(
            (*self.arguments, "unexpected_rows_query"), self.spec.kwargs["unexpected_rows_query"]
        )
        return _spend(compile_query(self.source.file, *written))


def parameters(binding: Binding) -> tuple[dict[str, BoundValue], list[Problem]]:
    """Every parameter's value, the tenant's or the default, in its Python type."""
    declared = binding.template.spec.parameters
    values: dict[str, BoundValue] = {}
    problems = [
        binding.problem(("with", name), "unknown parameter", listing(declared), nearest(name, declared))
        for name in binding.tenant_spec.with_
        if name not in declared
    ]
    for name, spec in declared.items():
        at = ("with", name)
        value = binding.tenant_spec.with_.get(name, spec.default)
        if value is None:
            problems.append(binding.problem(at, f"parameter {name!r} is missing", expected(spec)))
            continue
        try:
            values[name] = typed(spec, value)
        except ValueError as error:
            problems.append(binding.problem(at, str(error), expected(spec)))
            continue
        if spec.allowed is not None and values[name] not in [typed(spec, allowed) for allowed in spec.allowed]:
            allowed = [str(a) for a in spec.allowed]
            near = nearest(str(value), allowed)
            problems.append(binding.problem(at, f"{value!r} is not allowed", listing(allowed), near))
    return values, problems


def bound_sources(binding: Binding, variables: Mapping[str, object]) -> tuple[dict[str, BoundSource], list[Problem]]:
    """Every source with the full names of its tables for this tenant."""
    bound_by_name: dict[str, BoundSource] = {}
    problems: list[Problem] = []
    for name, spec in binding.template.spec.sources.items():
        at = ("sources", name, "table")
        try:
            tables = tuple(render(binding.template.source.file, spec.table, variables).split(BETWEEN_TABLES))
        except TemplateError as error:
            problems += [binding.problem_of_template(at, p) for p in error.problems]
            continue
        if len(tables) > MOST_TABLES:
            wrong = Problem("", None, "", f"{len(tables)} tables are read as one", f"at most {MOST_TABLES}")
            problems.append(binding.problem_of_template(at, wrong))
            continue
        for table in tables:
            is_read_alone = len(tables) == 1
            if not (TABLE.fullmatch(table) or (is_read_alone and WILDCARD.fullmatch(table))):
                wrong = Problem("", None, "", f"{table!r} is no table name", "dataset.table or project.dataset.table")
                problems.append(binding.problem_of_template(at, wrong))
        bound = BoundSource(name, tables, spec, _where_said(binding, at, tables))
        if not problems:
            problems += unreadable(bound)
        bound_by_name[name] = bound
    return bound_by_name, problems


def _where_said(binding: Binding, at: Path, tables: tuple[str, ...]) -> Problem:
    """The tenant's own parameter with a source's tables, or their line in the pipeline's file."""
    for name, value in binding.tenant_spec.with_.items():
        if value in tables or value == list(tables):
            return binding.problem(("with", name), "")
    return binding.problem_of_template(at, _NOWHERE)


def compiled_steps(binding: Binding, variables: Mapping[str, object]) -> tuple[dict[str, CompiledSql], list[Problem]]:
    """The SQL of every `bigquery` step, by table."""
    template = binding.template
    steps = [step for step in template.spec.steps if isinstance(step, BigQueryStep)]
    return _compiled({s.table: (template.sql_file(s), template.sql[s.table]) for s in steps}, variables)


def compiled_late_data(
    binding: Binding, variables: Mapping[str, object]
) -> tuple[dict[str, CompiledSql], list[Problem]]:
    """The queries for late data of steps' sources, by table."""
    template = binding.template
    steps = [step for step in template.spec.steps if isinstance(step, BigQueryStep) and step.late_data]
    texts = {s.table: (template.late_data_file(s), template.late_data_sql[s.table]) for s in steps}
    return _compiled(texts, variables)


@contextmanager
def one_tenants_sql() -> Iterator[None]:
    """Within it one tenant's SQL is read, up to a total bound."""
    token = _LEFT.set([MOST_SQL])
    try:
        yield
    finally:
        _LEFT.reset(token)


def _spend(compiled: CompiledSql) -> CompiledSql:
    """Raises `TemplateError` where the tenant's SQL becomes too much with this statement."""
    left = _LEFT.get()
    if left is not None:
        left[0] -= len(compiled.text)
        if left[0] < 0:
            message = f"the tenant's SQL has more than {MOST_SQL} characters in all"
            raise TemplateError((Problem(compiled.file, 1, "", message, "fewer or shorter statements"),))
    return compiled


def _compiled(
    texts: Mapping[str, tuple[str, str]], variables: Mapping[str, object]
) -> tuple[dict[str, CompiledSql], list[Problem]]:
    compiled: dict[str, CompiledSql] = {}
    problems: list[Problem] = []
    for table, (file, text) in texts.items():
        if (left := _LEFT.get()) is not None and left[0] < 0:
            break
        used = _variables(text)
        try:
            used_variables = frozenset((k, v) for k, v in variables.items() if k in used)
            compiled[table] = _spend(compile_sql(file, text, used_variables))
        except TemplateError as error:
            problems += error.problems
    return compiled, problems


def bound_paths(
    binding: Binding, values: Mapping[str, BoundValue], places: FilePlaces
) -> tuple[dict[str, str], list[Problem]]:
    """The path pattern of every `files` step, by table; `{{ landing }}` is the tenant's folder of the landing zone."""
    paths: dict[str, str] = {}
    problems: list[Problem] = []
    for i, step in enumerate(binding.template.spec.steps):
        if isinstance(step, FilesStep):
            at = ("steps", i, "path")
            try:
                path = render(binding.template.source.file, step.path, {"landing": str(places.folder), **values})
            except TemplateError as error:
                problems += [binding.problem_of_template(at, p) for p in error.problems]
                continue
            paths[step.table] = path
            refused = places.refused(path, binding.problem_of_template(at, _NOWHERE))
            problems += [refused] if refused else []
    return paths, problems


def merged_suites(binding: Binding) -> tuple[dict[str, BoundSuite], list[Problem]]:
    """Every table's suite with the tenant's changes."""
    steps = {step.table: step for step in binding.template.spec.steps}
    problems = [
        binding.problem((key, table), "no step makes this table", listing(steps), nearest(table, steps))
        for key in ("thresholds", "expectations")
        for table in getattr(binding.tenant_spec, key)
        if table not in steps
    ]
    suites: dict[str, BoundSuite] = {}
    for table, step in steps.items():
        suite = binding.template.suites.get(table, SuiteSpec(expectations=()))
        source = binding.template.suite_sources.get(table, binding.file)
        placed = [_Placed(spec, source, ("expectations", i, "kwargs")) for i, spec in enumerate(suite.expectations)]
        index = {name: i for i, name in enumerate(check_names(suite))}
        columns = frozenset(column.name for column in step.columns)
        rules = {rule.id for rule in rules_of(suite.rules, columns)} if suite.rules else set()
        severities: dict[str, Severity] = {}
        for name, change in binding.tenant_spec.thresholds.get(table, {}).items():
            key = ("thresholds", table, name)
            if name in rules:
                problems += _rule_problems(binding, key, change)
                severities[name] = change.get("severity")  # type: ignore[assignment]
                continue
            if name not in index:
                problems.append(binding.problem(key, "no such check", listing(index), nearest(name, [*index, *rules])))
                continue
            before = placed[index[name]]
            spec, at = with_changes(before.spec, change), (*binding.path, *key)
            if spec.severity not in _SEVERITIES:
                message = f"{spec.severity!r} is no severity"
                near = nearest(str(spec.severity), _SEVERITIES)
                problems.append(binding.problem((*key, "severity"), message, listing(_SEVERITIES), near))
            problems += expectation_problems(binding.file, at, at, spec, step)
            rewritten = "unexpected_rows_query" in change
            placed[index[name]] = _Placed(spec, binding.file, at) if rewritten else before._replace(spec=spec)
        extra = binding.tenant_spec.expectations.get(table, ())
        at = (*binding.path, "expectations", table)
        problems += suite_problems(binding.file, at, extra, step)
        placed += [_Placed(spec, binding.file, (*at, i, "kwargs")) for i, spec in enumerate(extra)]
        if not problems:
            groups = rule_groups(suite.rules, columns, frozenset(severities.items())) if suite.rules else ()
            merged = suite.model_copy(update={"expectations": (*(p.spec for p in placed), *groups)})
            suites[table] = BoundSuite(merged, tuple(p.query() for p in placed if p.spec.type == UNEXPECTED_ROWS))
    return suites, problems


def _rule_problems(binding: Binding, key: Path, change: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a tenant's change of a rule: all that can be changed is its severity."""
    for name in change:
        if name != "severity":
            yield binding.problem((*key, name), "a rule has no such argument", "severity", nearest(name, ["severity"]))
    severity = change.get("severity")
    if severity not in _SEVERITIES:
        near = nearest(str(severity), _SEVERITIES)
        yield binding.problem((*key, "severity"), f"{severity!r} is no severity", listing(_SEVERITIES), near)


def bound_steps(
    binding: Binding, order: tuple[str, ...], compiled: Mapping[str, CompiledSql], paths: Mapping[str, str],
    suites: Mapping[str, BoundSuite], sources: Mapping[str, BoundSource], values: Mapping[str, BoundValue],
    tenant_tables: frozenset[str], late_data: Mapping[str, CompiledSql], places: FilePlaces,
) -> tuple[Step, ...]:  # fmt: skip
    """The bound steps in order; `tenant_tables` are all of the tenant's."""
    by_table = {step.table: step for step in binding.template.spec.steps}
    paths_declared = {
        step.table: binding.problem_of_template(("steps", i, "path"), _NOWHERE)
        for i, step in enumerate(binding.template.spec.steps) if isinstance(step, FilesStep)
    }  # fmt: skip
    index = {step.table: i for i, step in enumerate(binding.template.spec.steps)}
    declared = binding.template.spec.parameters
    bindable = {name: value for name, value in values.items() if is_bindable(declared[name])}
    bound: list[Step] = []
    for table in order:
        sql, suite = compiled.get(table), suites[table]
        late = late_data.get(table)
        texts = ([sql] if sql else []) + list(suite.queries) + ([late] if late else [])
        read = frozenset(name for text in texts for name in text.tables)
        own_sources = {name: source for name, source in sources.items() if name in read}
        upstream = tuple(sorted(name for name in read & tenant_tables if name not in own_sources and name != table))
        used = {n: bindable[n] for text in texts for n in text.parameters if n in bindable}
        defining = [
            binding.template.digests[table],
            # The same definition wherever the landing zone is.
            sql.text if sql else paths[table].replace(str(places.folder), "landing"),
            binding.tenant_spec.thresholds.get(table, {}),
            [spec.model_dump(mode="json") for spec in binding.tenant_spec.expectations.get(table, ())],
            used,
            {name: BETWEEN_TABLES.join(source.tables) for name, source in own_sources.items()},
        ]
        step = Step(
            table=table,
            spec=by_table[table],
            suite=suite.spec,
            sql=sql,
            path=paths.get(table),
            upstream=upstream,
            sources=own_sources,
            parameters=bindable,
            definition_hash=_digest(defining),
            late_data=late,
            folder=places.local_folder(paths[table]) if table in paths else None,
            declared=paths_declared.get(table, _NOWHERE),
            tests=tuple(_tests(binding, index[table])),
        )
        bound.append(step)
    return tuple(bound)


def _tests(binding: Binding, index: int) -> Iterator[PlacedTest]:
    step = binding.template.spec.steps[index]
    for i, test in enumerate(step.tests if isinstance(step, BigQueryStep) else ()):
        yield PlacedTest(test, binding.problem_of_template(("steps", index, "tests", i, "name"), _NOWHERE))


def _digest(definition: Any) -> str:
    text = json.dumps(definition, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=1024)
def _variables(template: str) -> frozenset[str]:
    try:
        return names_in(template)
    except Exception:  # the same text is compiled next, which reports what is wrong with it
        return frozenset()
