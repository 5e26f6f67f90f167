"""A file's numbers keep their digits, and an explicit tag is obeyed."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.pipelines.models import ParameterSpec, SuiteSpec
from convergence_assets.pipelines.parameters import typed
from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_source import read_yaml


def value(written: str) -> Any:
    source = read_yaml("f", f"a: {written}\n".encode())
    assert source.problems == []
    return source.data["a"]


@given(st.integers(-(10**60), 10**60))
def test_a_whole_number_of_any_size_is_an_int(number: int) -> None:
    assert value(str(number)) == number
    assert type(value(str(number))) is int


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_a_number_with_decimals_keeps_every_digit(number: Decimal) -> None:
    text = f"{number:f}"
    read = value(text if "." in text else f"{text}.0")
    exact = Decimal(repr(read)) if isinstance(read, float) else Decimal(read)
    assert exact == number


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("!!str 0123", "0123"), ("!!str no", "no"), ("!!str", ""), ("!!str 2026-10-01", "2026-10-01"),
        ("!!str 'x'", "x"), ("!!int '12'", 12), ("!!float 3", 3.0), ("!!bool true", True), ("!!null ''", None),
        ("[!!str 1, 1]", ["1", 1]), ("{b: !!str 1e5}", {"b": "1e5"}), ("0123", 123), ("'0123'", "0123"), ("1e5", 1e5),
        ("1.", 1.0), ("!!seq [1]", [1]), ("!!map {b: 1}", {"b": 1}), ("0.1", 0.1),
    ],
)  # fmt: skip
def test_a_tag_decides_what_a_value_is(written: str, read: Any) -> None:
    assert value(written) == read
    assert type(value(written)) is type(read)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("!!int x", "'x' is no !!int"),
        ("!!int 1.5", "'1.5' is no !!int"),
        ("!!int true", "'true' is no !!int"),
        ("!!bool 1", "'1' is no !!bool"),
        ("!!float x", "'x' is no !!float"),
        ("!!set {x}", "tag !!set is not known here; expected no tag, or !!str before a text"),
        ("!!binary abc", "tag !!binary is not known here"),
        ("!!python/object:os.system x", "tag !!python/object:os.system is not known here"),
        ("!ENV x", "tag !ENV is not known here"),
        ("!!str [1]", "tag !!str is not known here"),
        ("1e99999999", "out of range"),
        ("9" * 5000, "a number of 5000 characters; a text stands in quotes"),
    ],
)
def test_what_is_not_what_its_tag_says_is_refused_in_its_line(written: str, message: str) -> None:
    source = read_yaml("f", f"b: 1\na: {written}\n".encode())
    assert source.data is None
    assert source.problems[0].render().startswith("f:2: a: ")
    assert message in source.problems[0].render()


@pytest.mark.parametrize("number", [4567890123456789012, 2**63 - 1, -(2**63), 0])
def test_an_integer_parameter_of_int64_is_taken_as_written(number: int) -> None:
    assert typed(ParameterSpec(type="integer"), number) == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30, 1.5])
def test_an_integer_parameter_beyond_int64_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        typed(ParameterSpec(type="integer"), number)


def test_a_number_parameter_keeps_its_digits() -> None:
    assert typed(ParameterSpec(type="number"), value("12345678901234567890.123456789")) == Decimal(
        "12345678901234567890.123456789"
    )


def test_bounds_of_19_digits_are_compared_as_they_are_written(
    files: dict[str, str], problems: Callable[[dict[str, str]], list[Problem]]
) -> None:
    suite = (
        "expectations:\n  - type: expect_column_values_to_be_between\n"
        "    kwargs: {column: cost, min_value: 4567890123456789013, max_value: 4567890123456789012}\n"
    )
    (problem,) = problems(files | {"expectations/costs_daily.yaml": suite})
    assert "4567890123456789013 is above max_value 4567890123456789012" in problem.render()


OLD = """\
{"expectation_suite_name": "s", "data_asset_type": null, "ge_cloud_id": null, "evaluation_parameters": {},
 "meta": {"great_expectations_version": "0.18.12"},
 "expectations": [
  {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "day", "result_format": "BASIC"}, "ge_cloud_id": null, "meta": {}},
  {"expectation_type": "expect_column_max_to_be_between", "kwargs": {"column": "cost", "max_value": 3,
   "row_condition": "col(\\"region\\").notnull()", "condition_parser": "great_expectations__experimental__"}, "meta": {}}
 ]}
"""


def test_a_suite_of_gx_0_is_read(files: dict[str, str], problems: Callable[[dict[str, str]], list[Problem]]) -> None:
    del files["expectations/costs_daily.yaml"]
    assert problems(files | {"expectations/costs_daily.json": OLD}) == []
    suite = SuiteSpec.model_validate(read_yaml("f", OLD.encode()).data)
    assert suite.name == "s"
    assert [e.type for e in suite.expectations] == [
        "expect_column_values_to_not_be_null", "expect_column_max_to_be_between",
    ]  # fmt: skip


def test_a_mistake_in_a_suite_of_gx_0_is_told_as_in_any_other(
    files: dict[str, str], problems: Callable[[dict[str, str]], list[Problem]]
) -> None:
    del files["expectations/costs_daily.yaml"]
    wrong = OLD.replace("values_to_not_be_null", "values_to_not_be_nul")
    (problem,) = problems(files | {"expectations/costs_daily.json": wrong})
    assert "costs_daily.json:4: " in problem.render()
    assert "did you mean 'expect_column_values_to_not_be_null'?" in problem.render()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ("{column: cost, value_set: ['0.1']}", "'0.1' is compared with cost, which is NUMERIC; expected numbers"),
        (
            "{column: region, value_set: [0123]}",
            "123 is compared with region, which is STRING; expected text, in quotes",
        ),
        ("{column: region, value_set: [no, true]}", "True is compared with region, which is STRING"),
    ],
)
def test_a_value_that_no_row_can_have_is_refused(
    files: dict[str, str], problems: Callable[[dict[str, str]], list[Problem]], kwargs: str, message: str
) -> None:
    suite = f"expectations:\n  - type: expect_column_values_to_not_be_in_set\n    kwargs: {kwargs}\n"
    (problem,) = problems(files | {"expectations/costs_daily.yaml": suite})
    assert "costs_daily.yaml:3: " in problem.render()
    assert message in problem.render()
