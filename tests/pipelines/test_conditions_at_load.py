"""A row condition that is no comparison of the table's columns is refused where it stands, whoever wrote it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from convergence_assets.pipelines.problems import Problem

Files = dict[str, str]
Problems = Callable[[Files], list[Problem]]

SUITE = """\
expectations:
  - type: expect_column_values_to_not_be_null
    kwargs:
      column: day
      row_condition: {condition}
      condition_parser: {parser}
    meta: {{name: known}}
"""
TENANT = "    expectations:\n      costs_daily:\n        - type: expect_column_max_to_be_between\n          kwargs:\n            {kwargs}\n"


def in_suite(files: Files, condition: Any, parser: str = "pandas") -> Files:
    suite = SUITE.format(condition=json.dumps(condition), parser=parser)
    return files | {"expectations/costs_daily.yaml": suite}


@pytest.mark.parametrize("parser", ["pandas", "great_expectations"])
@pytest.mark.parametrize(
    "condition",
    [
        "cost > 0 and region in ['eu', 'us']",
        'col("cost") >= 0.1',
        {"type": "comparison", "column": {"name": "day"}, "operator": ">", "parameter": "2026-10-01"},
    ],
)
def test_a_condition_over_the_tables_columns_is_right(
    files: Files, problems: Problems, condition: Any, parser: str
) -> None:
    assert problems(in_suite(files, condition, parser)) == []


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        (
            "region.to_csv('/tmp/x', index=False) == 1",
            ["the method .to_csv(...)", "expected comparisons", ".isin([...])"],
        ),
        ("@pd.eval('1')", ["variables like", "expected comparisons"]),
        ("cost.abs() > 1", ["the method .abs(...)", "expected comparisons"]),
        (
            "costs > 0",
            ["'costs' is no column of the table", "expected one of cost, day, region", "did you mean 'cost'?"],
        ),
        ("region == 3", ["region is STRING and is compared with 3", "expected a text in quotes"]),
    ],
)
def test_what_is_no_comparison_is_refused_with_file_line_and_the_way_to_write_it(
    files: Files, problems: Problems, condition: str, parts: list[str]
) -> None:
    (problem,) = problems(in_suite(files, condition))
    text = problem.render()
    assert text.startswith("library/costs/expectations/costs_daily.yaml:5: expectations[0].kwargs.row_condition: ")
    assert [part for part in parts if part not in text] == []


def test_a_condition_of_spark_is_refused(files: Files, problems: Problems) -> None:
    (problem,) = problems(in_suite(files, "cost > 0", "spark"))
    assert "row conditions of 'spark' are not read; expected one of great_expectations, pandas" in problem.render()


@pytest.mark.parametrize(
    "written", ['"region.to_csv(1) == 1"', "{type: pass_through, pass_through_filter: region.to_csv(1)}"]
)
def test_a_tenants_own_expectation_is_held_to_the_same(files: Files, problems: Problems, written: str) -> None:
    added = TENANT.format(kwargs=f"{{column: cost, max_value: 3, row_condition: {written}}}")
    (problem,) = problems(files | {"tenant.yaml": files["tenant.yaml"] + added})
    assert problem.render().startswith("acme/tenant.yaml:12: ") or ":12: " in problem.render()
    assert "the method .to_csv(...)" in problem.render()


def test_a_tenants_changed_argument_is_held_to_the_same(files: Files, problems: Problems) -> None:
    changed = '    thresholds:\n      costs_daily: {known: {row_condition: "region.to_csv(1) == 1"}}\n'
    suite = in_suite(files, "cost > 0")
    (problem,) = problems(suite | {"tenant.yaml": files["tenant.yaml"] + changed})
    assert "tenant.yaml:9: " in problem.render()
    assert "the method .to_csv(...)" in problem.render()
