"""One pipeline template bound to one tenant: parameters, sources, SQL, suites, the order of its steps."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from jinja2 import Environment, meta

from convergence_assets.pipelines.catalog import PipelineTemplate
from convergence_assets.pipelines.compile import (
    RUN_PARAMETERS,
    CompiledSql,
    TemplateError,
    compile_query,
    compile_sql,
    render,
)
from convergence_assets.pipelines.models import BigQueryStep, ColumnSpec, ParameterSpec, SuiteSpec
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.suites import UNEXPECTED_ROWS, changed, check_names, expectation_types, suite_problems
from convergence_assets.pipelines.yaml_source import Path, Source, spelled
from convergence_assets.tenancy.model import BoundValue, Step
from convergence_assets.tenancy.model import Source as BoundSource
from convergence_assets.tenancy.models import TenantPipelineSpec
from convergence_assets.tenancy.portable import portability

_TABLE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*\.)?[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_$-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STRUCTURAL = ("table", "identifier", "boolean", "integer")


class BoundOnly(str):
    """A value for comparisons in a template; printing it is an error, since values are bound as `@name`."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("a value is bound as @name and never printed into SQL")


@dataclass(frozen=True)
class Binding:
    """A template, what a tenant says of it, and where: messages name the tenant's file for the tenant's mistakes."""

    template: PipelineTemplate
    said: TenantPipelineSpec
    file: Source
    path: Path

    def problem(self, key: Path, message: str, expected: str | None = None, suggestion: str | None = None) -> Problem:
        at = (*self.path, *key)
        return Problem(self.file.file, self.file.line(at), spelled(at), message, expected, suggestion)


def parameters(binding: Binding) -> tuple[dict[str, Any], list[Problem]]:
    """Every parameter's value, the tenant's or the default, in its Python type."""
    declared = binding.template.spec.parameters
    values: dict[str, Any] = {}
    problems = [
        binding.problem(("with", name), "unknown parameter", listing(declared), nearest(name, declared))
        for name in binding.said.with_
        if name not in declared
    ]
    for name, spec in declared.items():
        given = binding.said.with_.get(name, spec.default)
        if given is None:
            problems.append(binding.problem(("with", name), f"parameter {name!r} is missing", _expected(spec)))
            continue
        try:
            values[name] = _typed(spec, given)
        except ValueError as error:
            problems.append(binding.problem(("with", name), str(error), _expected(spec)))
            continue
        if spec.allowed is not None and given not in spec.allowed:
            allowed = [str(a) for a in spec.allowed]
            problems.append(
                binding.problem(
                    ("with", name), f"{given!r} is not allowed", listing(allowed), nearest(str(given), allowed)
                )
            )
    return values, problems


def template_variables(binding: Binding, values: Mapping[str, Any]) -> dict[str, object]:
    """What Jinja sees: identifiers and switches as they are, other values for comparison alone."""
    declared = binding.template.spec.parameters
    return {name: value if declared[name].type in _STRUCTURAL else BoundOnly(value) for name, value in values.items()}


def bound_sources(binding: Binding, variables: Mapping[str, object]) -> tuple[dict[str, BoundSource], list[Problem]]:
    """Every source with its full table name for this tenant."""
    template = binding.template
    found: dict[str, BoundSource] = {}
    problems: list[Problem] = []
    for name, spec in template.spec.sources.items():
        line = template.source.line(("sources", name, "table"))
        try:
            table = render(template.source.file, spec.table, variables)
        except TemplateError as error:
            problems += [
                Problem(p.file, line, f"sources.{name}.table", p.message, p.expected, p.suggestion)
                for p in error.problems
            ]
            continue
        if not _TABLE.fullmatch(table):
            problems.append(
                Problem(
                    template.source.file,
                    line,
                    f"sources.{name}.table",
                    f"{table!r} is no table name",
                    "dataset.table or project.dataset.table",
                )
            )
        found[name] = BoundSource(name, table, spec)
    return found, problems


def compiled_steps(binding: Binding, variables: Mapping[str, object]) -> tuple[dict[str, CompiledSql], list[Problem]]:
    """The SQL of every `bigquery` step, by table."""
    compiled: dict[str, CompiledSql] = {}
    problems: list[Problem] = []
    for step in binding.template.spec.steps:
        if isinstance(step, BigQueryStep) and step.table in binding.template.sql:
            text = binding.template.sql[step.table]
            used = _variables(text)
            try:
                given = frozenset((k, v) for k, v in variables.items() if k in used)
                compiled[step.table] = compile_sql(binding.template.sql_file(step), text, given)
            except TemplateError as error:
                problems += error.problems
    return compiled, problems


def reference_problems(
    binding: Binding, compiled: Mapping[str, CompiledSql], made: Mapping[str, tuple[ColumnSpec, ...]],
    bindable: frozenset[str], *, all_made: bool,
) -> Iterator[Problem]:  # fmt: skip
    """Tables nobody makes, parameters nobody binds, SQL the embedded engine cannot answer alike.

    With `all_made` false another pipeline of the tenant could not be read, and an unknown table may be its.
    """
    sources = {name: spec.columns for name, spec in binding.template.spec.sources.items()}
    readable = {**made, **sources}
    suites = binding.template.suite_sources
    texts = [(table, sql, True) for table, sql in compiled.items()]
    for table, suite in binding.template.suites.items():
        texts += [(table, query, False) for query in _queries(suite, suites[table], ("expectations",))]
    for table, extra in binding.said.expectations.items():
        suite = SuiteSpec(expectations=extra)
        texts += [(table, q, False) for q in _queries(suite, binding.file, (*binding.path, "expectations", table))]
    for table, sql, is_step in texts:
        unknown = False
        for reference in sql.references:
            if reference.name not in readable:
                unknown = True
                if not all_made:
                    continue
                yield Problem(
                    sql.file,
                    sql.line(reference.line),
                    reference.name,
                    "no step makes this table and no source declares it",
                    listing(readable),
                    nearest(reference.name, readable),
                )
            elif is_step and reference.name == table:
                yield Problem(
                    sql.file,
                    sql.line(reference.line),
                    reference.name,
                    "the step reads the table it makes",
                    "an earlier table or a source",
                )
        for parameter in sorted(sql.parameters - bindable):
            line = next((i for i, text in enumerate(sql.text.splitlines(), 1) if f"@{parameter}" in text), 1)
            yield Problem(
                sql.file,
                sql.line(line),
                f"@{parameter}",
                "unknown query parameter",
                listing(bindable),
                nearest(parameter, bindable),
            )
        if not unknown:
            types = {name: readable[name] for name in sql.tables} | ({} if is_step else {"__batch__": made[table]})
            yield from portability(sql, types)


def ordered(binding: Binding, compiled: Mapping[str, CompiledSql]) -> tuple[tuple[str, ...], list[Problem]]:
    """The pipeline's tables in the order of their reading one another; a cycle is a problem that names it."""
    tables = [step.table for step in binding.template.spec.steps]
    graph = {t: {r for r in (compiled[t].tables if t in compiled else ()) if r in tables and r != t} for t in tables}
    try:
        return tuple(TopologicalSorter(graph).static_order()), []
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        line = binding.template.source.line(("steps",))
        return (), [
            Problem(binding.template.source.file, line, "steps", f"the steps read one another in a circle: {cycle}")
        ]


def merged_suites(binding: Binding) -> tuple[dict[str, SuiteSpec], list[Problem]]:
    """Every table's suite with the tenant's changes."""
    steps = {step.table: step for step in binding.template.spec.steps}
    problems: list[Problem] = []
    for key in ("thresholds", "expectations"):
        for table in getattr(binding.said, key):
            if table not in steps:
                said = ("no step makes this table", listing(steps), nearest(table, steps))
                problems += [binding.problem((key, table), *said)]
    for table, extra in binding.said.expectations.items():
        if table in steps:
            problems += suite_problems(binding.file, (*binding.path, "expectations", table), extra, steps[table])
    suites: dict[str, SuiteSpec] = {}
    for table in steps:
        suite = binding.template.suites.get(table, SuiteSpec())
        thresholds = binding.said.thresholds.get(table, {})
        by_name = dict(zip(check_names(suite), suite.expectations, strict=True))
        for name, change in thresholds.items():
            if name not in by_name:
                problems.append(
                    binding.problem(
                        ("thresholds", table, name), "no such check", listing(by_name), nearest(name, by_name)
                    )
                )
                continue
            required, optional = expectation_types()[by_name[name].type]
            known = required | optional | {"severity"}
            for argument, value in change.items():
                at = ("thresholds", table, name, argument)
                if argument not in known:
                    problems.append(binding.problem(at, "unknown argument", listing(known), nearest(argument, known)))
                elif argument == "severity" and value not in ("critical", "warning", "info"):
                    problems.append(binding.problem(at, f"{value!r} is no severity", "one of critical, info, warning"))
        suites[table] = changed(suite, thresholds, binding.said.expectations.get(table, ()))
    return suites, problems


def steps(
    binding: Binding, order: tuple[str, ...], compiled: Mapping[str, CompiledSql], suites: Mapping[str, SuiteSpec],
    sources: Mapping[str, BoundSource], values: Mapping[str, Any], made: frozenset[str],
) -> tuple[tuple[Step, ...], list[Problem]]:  # fmt: skip
    """The bound steps in order."""
    by_table = {step.table: step for step in binding.template.spec.steps}
    declared = binding.template.spec.parameters
    bindable: dict[str, BoundValue] = {
        n: v for n, v in values.items() if declared[n].type not in ("table", "identifier")
    }
    bound: list[Step] = []
    problems: list[Problem] = []
    for table in order:
        spec, sql, suite = by_table[table], compiled.get(table), suites[table]
        path = None
        if not isinstance(spec, BigQueryStep):
            plain = {n: v for n, v in values.items() if isinstance(v, str | int)}
            try:
                path = render(binding.template.source.file, spec.path, plain)
            except TemplateError as error:
                problems += error.problems
        queries = _queries(suite, binding.file, binding.path)
        read = (sql.tables if sql else frozenset()).union(*(q.tables for q in queries))
        own = {name: source for name, source in sources.items() if name in read}
        upstream = tuple(sorted(name for name in read & made if name not in own and name != table))
        said = repr(
            (
                sql.text if sql else path,
                spec,
                suite,
                sorted(bindable.items()),
                sorted((s.name, s.table) for s in own.values()),
            )
        )
        digest = hashlib.sha256(said.encode()).hexdigest()[:16]
        bound.append(Step(table, spec, suite, sql, path, upstream, own, bindable, digest))
    return tuple(bound), problems


def bindable_names(binding: Binding) -> frozenset[str]:
    """The names a query of this pipeline may write as `@name`."""
    declared = binding.template.spec.parameters
    return RUN_PARAMETERS | {n for n, p in declared.items() if p.type not in ("table", "identifier")}


def _queries(suite: SuiteSpec, source: Source, path: Path) -> list[CompiledSql]:
    found = []
    for i, spec in enumerate(suite.expectations):
        if spec.type == UNEXPECTED_ROWS:
            query = str(spec.kwargs.get("unexpected_rows_query", ""))
            found.append(
                compile_query(source.file, *source.written((*path, i, "kwargs", "unexpected_rows_query"), query))
            )
    return found


@lru_cache(maxsize=1024)
def _variables(template: str) -> frozenset[str]:
    try:
        return frozenset(meta.find_undeclared_variables(Environment(autoescape=False).parse(template)))
    except Exception:  # the same text is compiled next, which reports what is wrong with it
        return frozenset()


def _typed(spec: ParameterSpec, given: Any) -> BoundValue:
    kinds: dict[str, tuple[type, ...]] = {
        "table": (str,), "identifier": (str,), "string": (str,), "integer": (int,), "number": (int, float, str),
        "boolean": (bool,), "date": (date,),
    }  # fmt: skip
    if not isinstance(given, kinds[spec.type]) or (isinstance(given, bool) and spec.type != "boolean"):
        raise ValueError(f"{given!r} is not a {spec.type}")
    if spec.type == "table" and not _TABLE.fullmatch(str(given)):
        raise ValueError(f"{given!r} is no table name")
    if spec.type == "identifier" and not _IDENTIFIER.fullmatch(str(given)):
        raise ValueError(f"{given!r} is no identifier")
    if spec.type == "number":
        try:
            return Decimal(str(given))
        except ArithmeticError:
            raise ValueError(f"{given!r} is not a number") from None
    assert isinstance(given, str | int | date)
    return given


def _expected(spec: ParameterSpec) -> str:
    what = {
        "table": "dataset.table or project.dataset.table", "identifier": "letters, digits and _", "string": "text",
        "integer": "a whole number", "number": "a number", "boolean": "true or false", "date": "a date like 2026-10-01",
    }[spec.type]  # fmt: skip
    return f"{what} ({spec.description})" if spec.description else what
