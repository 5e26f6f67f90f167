"""Expectation suites held against their table: names of checks, known types and arguments, a tenant's changes."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from convergence_assets.pipelines.compile import TemplateError, compile_query
from convergence_assets.pipelines.models import ExpectationSpec, SuiteSpec, TableStep
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.yaml_source import Path, Source, spelled

UNEXPECTED_ROWS = "unexpected_rows_expectation"
_COLUMN_KEYS = ("column", "column_A", "column_B")
_COLUMN_LIST_KEYS = ("column_list",)


@lru_cache(maxsize=1)
def expectation_types() -> Mapping[str, tuple[frozenset[str], frozenset[str]]]:
    """Great Expectations' types with their required and optional arguments (a test holds them against the library)."""
    said = json.loads(files("convergence_assets.pipelines").joinpath("expectation_types.json").read_text())
    return {name: (frozenset(a["required"]), frozenset(a["optional"])) for name, a in said.items()}


def check_name(spec: ExpectationSpec) -> str:
    """The name of an expectation's check: `meta.name`, or the column and what is expected, never a threshold."""
    given = spec.meta.get("name")
    if given:
        return str(given)
    column = spec.kwargs.get("column") or "_".join(
        str(c)
        for c in (spec.kwargs.get("column_A"), spec.kwargs.get("column_B"), *spec.kwargs.get("column_list", ()))
        if c
    )
    what = spec.type.removeprefix("expect_").removeprefix("column_").removesuffix("_expectation")
    return f"{column}_{what}" if column else what


def check_names(suite: SuiteSpec) -> tuple[str, ...]:
    """One name an expectation, in order; a repeated one gets `_2`, `_3`."""
    names: list[str] = []
    counts: dict[str, int] = {}
    for spec in suite.expectations:
        name = check_name(spec)
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name}_{counts[name]}")
    return tuple(names)


def changed(
    suite: SuiteSpec, thresholds: Mapping[str, Mapping[str, Any]], extra: tuple[ExpectationSpec, ...]
) -> SuiteSpec:
    """The suite with a tenant's changed arguments and its own expectations."""
    merged = []
    for name, spec in zip(check_names(suite), suite.expectations, strict=True):
        change = dict(thresholds.get(name, {}))
        severity = change.pop("severity", spec.severity)
        merged.append(spec.model_copy(update={"kwargs": {**spec.kwargs, **change}, "severity": severity}))
    return suite.model_copy(update={"expectations": (*merged, *extra)})


def suite_problems(
    source: Source, path: Path, expectations: tuple[ExpectationSpec, ...], step: TableStep
) -> Iterator[Problem]:
    """What is wrong with expectations that stand at `path` in a file, for the table of `step`."""
    types = expectation_types()
    columns = {c.name for c in step.columns}
    for i, spec in enumerate(expectations):
        at = (*path, i)

        def problem(
            key: Path, message: str, expected: str | None = None, suggestion: str | None = None, at: Path = at
        ) -> Problem:
            return Problem(source.file, source.line((*at, *key)), spelled((*at, *key)), message, expected, suggestion)

        if spec.type not in types:
            yield problem(("type",), f"Great Expectations knows no {spec.type!r}", None, nearest(spec.type, types))
            continue
        required, optional = types[spec.type]
        for key in sorted(required - set(spec.kwargs)):
            yield problem(("kwargs",), f"argument {key!r} is missing", listing(required | optional))
        for key in sorted(set(spec.kwargs) - required - optional):
            yield problem(
                ("kwargs", key), "unknown argument", listing(required | optional), nearest(key, required | optional)
            )
        for key, column in _columns_named(spec):
            if column not in columns:
                yield problem(
                    ("kwargs", key),
                    f"{column!r} is no column of {step.table}",
                    listing(columns),
                    nearest(str(column), columns),
                )
        mostly = spec.kwargs.get("mostly", 1)
        if not isinstance(mostly, int | float) or not 0 <= mostly <= 1:
            yield problem(("kwargs", "mostly"), f"{mostly!r} is not a share", "a number from 0 to 1")
        if spec.type == UNEXPECTED_ROWS and "unexpected_rows_query" in spec.kwargs:
            where = (*at, "kwargs", "unexpected_rows_query")
            try:
                compile_query(source.file, *source.written(where, str(spec.kwargs["unexpected_rows_query"])))
            except TemplateError as error:
                yield from error.problems


def rows_queries(suite: SuiteSpec) -> Iterator[tuple[int, str]]:
    """The index and text of every `unexpected_rows_query`."""
    for i, spec in enumerate(suite.expectations):
        if spec.type == UNEXPECTED_ROWS:
            yield i, str(spec.kwargs.get("unexpected_rows_query", ""))


def _columns_named(spec: ExpectationSpec) -> Iterator[tuple[str, str]]:
    for key in _COLUMN_KEYS:
        if key in spec.kwargs:
            yield key, spec.kwargs[key]
    for key in _COLUMN_LIST_KEYS:
        if isinstance(spec.kwargs.get(key), list):
            yield from ((key, column) for column in spec.kwargs[key])
