"""Checks of expectation suites against their table: names of checks, types and arguments, a tenant's changes."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from convergence_assets.pipelines.arguments import argument_mistakes
from convergence_assets.pipelines.compile import compile_query
from convergence_assets.pipelines.models import ExpectationSpec, SuiteSpec, TableStep, plain
from convergence_assets.pipelines.problems import Problem, TemplateError, nearest
from convergence_assets.pipelines.sql_checks import partition_not_returned
from convergence_assets.pipelines.yaml_source import Path, Source, spelled

UNEXPECTED_ROWS = "unexpected_rows_expectation"
RESERVED_CHECKS = frozenset({
    "partition_is_not_empty", "rows_lie_in_the_partition", "upstream_partitions_are_published",
    "source_columns_are_declared",
})  # fmt: skip
_CHECK_NAME = re.compile(r"[A-Za-z0-9_]+")


@lru_cache(maxsize=1)
def expectation_types() -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
    """Great Expectations' types with their required and optional arguments (a test compares them with the library)."""
    by_type = json.loads(files("convergence_assets.pipelines").joinpath("expectation_types.json").read_text())
    return {name: (frozenset(a["required"]), frozenset(a["optional"])) for name, a in by_type.items()}


def check_name(spec: ExpectationSpec) -> str:
    """The name of an expectation's check: `meta.name`, or the column and what is expected, never a threshold."""
    meta_name = spec.meta.get("name")
    if meta_name:
        return str(meta_name)
    column = spec.kwargs.get("column") or "_".join(
        str(c)
        for c in (spec.kwargs.get("column_A"), spec.kwargs.get("column_B"), *spec.kwargs.get("column_list", ()))
        if c
    )
    expectation = spec.type.removeprefix("expect_").removeprefix("column_").removesuffix("_expectation")
    return f"{column}_{expectation}" if column else expectation


def check_names(suite: SuiteSpec) -> tuple[str, ...]:
    """One name an expectation, in order; a repeated one gets `_2`, `_3`."""
    names: dict[str, None] = {}
    numbers: dict[str, int] = {}
    for spec in suite.expectations:
        name = unique_name = check_name(spec)
        while unique_name in names:
            numbers[name] = numbers.get(name, 1) + 1
            unique_name = f"{name}_{numbers[name]}"
        names[unique_name] = None
    return tuple(names)


def with_changes(spec: ExpectationSpec, change: Mapping[str, Any]) -> ExpectationSpec:
    """The expectation with a tenant's arguments, and its `severity`, in place of the template's."""
    arguments = {key: value for key, value in plain(change).items() if key != "severity"}
    severity = change.get("severity", spec.severity)
    return spec.model_copy(update={"kwargs": {**spec.kwargs, **arguments}, "severity": severity})


def suite_problems(
    source: Source, path: Path, expectations: tuple[ExpectationSpec, ...], step: TableStep
) -> Iterator[Problem]:
    """What is wrong with the expectations at `path` of a file, for the table of `step`."""
    for i, spec in enumerate(expectations):
        yield from expectation_problems(source, (*path, i), (*path, i, "kwargs"), spec, step)


def expectation_problems(
    source: Source, path: Path, arguments: Path, spec: ExpectationSpec, step: TableStep
) -> Iterator[Problem]:
    """What is wrong with one expectation at `path`, whose arguments are at `arguments`."""
    types = expectation_types()
    if spec.type not in types:
        at = (*path, "type")
        message = f"Great Expectations knows no {spec.type!r}"
        yield Problem(source.file, source.line(at), spelled(at), message, None, nearest(spec.type, types))
        return
    has_mistakes = False
    for key, message, expected, suggestion in argument_mistakes(spec, step, *types[spec.type]):
        has_mistakes = True
        at = arguments if key is None else (*arguments, key)
        yield Problem(source.file, source.line(at), spelled(at), message, expected, suggestion)
    if has_mistakes:
        return
    name, at = check_name(spec), (*path, "meta", "name")
    if not _CHECK_NAME.fullmatch(name):
        yield Problem(source.file, source.line(at), spelled(at), f"{name!r} is no check name", "letters, digits and _")
    elif name in RESERVED_CHECKS:
        message = f"{name!r} is the name of a check that every table has"
        yield Problem(source.file, source.line(at), spelled(at), message, "another name")
    if spec.type == UNEXPECTED_ROWS:
        where = (*arguments, "unexpected_rows_query")
        try:
            sql = compile_query(source.file, *source.written(where, spec.kwargs["unexpected_rows_query"]))
            yield from partition_not_returned(sql, step)
        except TemplateError as error:
            yield from error.problems
