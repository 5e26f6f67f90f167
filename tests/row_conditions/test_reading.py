"""Row conditions are read into a tree of comparisons; whatever else they say is refused, and nothing is run."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.row_conditions import (
    All,
    Column,
    Comparison,
    Condition,
    ConditionError,
    In,
    Missing,
    Not,
    fitted,
    read_condition,
)
from convergence_assets.row_conditions import Any as Either

TYPES = {
    "i": "INT64", "n": "NUMERIC", "s": "STRING", "b": "BOOL", "d": "DATE", "t": "TIMESTAMP", "f": "FLOAT64",
    "j": "JSON", "many": "ARRAY<INT64>",
}  # fmt: skip


def read(condition: Any, parser: str | None = None) -> Condition | None:
    return read_condition({"column": "x", "row_condition": condition, "condition_parser": parser})


I_BELOW_3 = Comparison("i", "<", Decimal(3))


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ('col("i") < 3', I_BELOW_3),
        ("col('i')<3", I_BELOW_3),
        ('Column("i") < 3', I_BELOW_3),
        ("i < 3", I_BELOW_3),
        ("`i` < 3", I_BELOW_3),
        ("3 > i", I_BELOW_3),
        ("i < 4567890123456789012", Comparison("i", "<", Decimal("4567890123456789012"))),
        ("n == -0.12345678901234567890", Comparison("n", "==", Decimal("-0.12345678901234567890"))),
        ("n > 1e-9", Comparison("n", ">", Decimal("1e-9"))),
        ('col("d") > date("2026-10-01")', Comparison("d", ">", "2026-10-01")),
        ('s == "it\'s \\"so\\""', Comparison("s", "==", 'it\'s "so"')),
        ('col("s").notnull()', Not(Missing("s"))),
        ('col("s").NOTNULL()'.replace("NOTNULL", "isnull"), Missing("s")),
        ("s.isna() or s.notna()", Either((Missing("s"), Not(Missing("s"))))),
        ('Column("s").is_not_null()', Not(Missing("s"))),
        ("s in ['a', 'b']", In("s", ("a", "b"))),
        ("s not in ('a',)", Not(In("s", ("a",)))),
        ('col("s").isin(["a"])', In("s", ("a",))),
        ('Column("i").is_not_in([1, -2])', Not(In("i", (Decimal(1), Decimal(-2))))),
        ("0 < i <= 5", All((Comparison("i", ">", Decimal(0)), Comparison("i", "<=", Decimal(5))))),
        ("i < 3 & s == 'a' | b", Either((All((I_BELOW_3, Comparison("s", "==", "a"))), Comparison("b", "==", True)))),
        ("not (i < 3 or b)", Not(Either((I_BELOW_3, Comparison("b", "==", True))))),
        ("~s.isnull() & ~(i < 3)", All((Not(Missing("s")), Not(I_BELOW_3)))),
        ("i < n", Comparison("i", "<", Column("n"))),
        ({"type": "comparison", "column": {"name": "i"}, "operator": "<", "parameter": 3}, I_BELOW_3),
        ({"type": "comparison", "column": {"name": "s"}, "operator": "NOT_IN", "parameter": ["a"]}, Not(In("s", ("a",)))),
        ({"type": "nullity", "column": {"name": "s"}, "is_null": True}, Missing("s")),
        ({"type": "pass_through", "pass_through_filter": "i < 3"}, I_BELOW_3),
        (
            {"type": "or", "conditions": [{"type": "nullity", "column": "s", "is_null": False}, {
                "type": "and", "conditions": [{"type": "pass_through", "pass_through_filter": "i < 3"}]}]},
            Either((Not(Missing("s")), All((I_BELOW_3,)))),
        ),
    ],
)  # fmt: skip
def test_a_condition_is_read_in_every_language_a_suite_has(written: Any, tree: Condition) -> None:
    for parser in (None, "pandas", "great_expectations", "great_expectations__experimental__"):
        assert read(written, parser) == tree


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_no_condition_is_none(nothing: str | None) -> None:
    assert read(nothing) is None


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("s.to_csv('/tmp/x') == 1", r"the method .to_csv\(...\) of a column is not run"),
        ("s.str.contains('a')", "the attribute .str"),
        ("s.__class__ == 1", "the attribute .__class__"),
        ("@pd.compat.os.system('x') == 0", r"variables like .* have no value"),
        ("i == @limit", "have no value"),
        ("abs(i) > 3", r"the function abs\(...\) is not run"),
        ("__import__('os').system('x')", "the function __import__"),
        ("i + 1 > 3", "arithmetic"),
        ("i > n - 1", "arithmetic"),
        ("i > -n", "arithmetic"),
        ("i * 2 > 3", r"'\*' is not read"),
        ("i = 3", "equality is '=='"),
        ("s is null", "'is' is not read"),
        ("s == None", "NULL is no value"),
        ("i == [1, 2]", "a list after '=='"),
        ("i in s", "does not fit"),
        ("i in [n]", "the column 'n' in a list"),
        ("1 < 2", "two values are compared"),
        ("3", "a value by itself"),
        ("i <", "ends too early"),
        ("(i < 3", "ends too early"),
        ("i < 3)", "does not fit"),
        ("i < 3 s", "does not fit"),
        ("~i < 3", "binds more tightly"),
        ("(i < 3) == True", "in brackets is compared"),
        ("[x for x in s]", "does not fit"),
        ("lambda: 0", "':' is not read"),
        ("i < 3; i > 2", "';' is not read"),
        ("col(i) < 3", "does not fit"),
        ("s == 'a", "is not read"),
        ("i < 1e99999999", "out of range"),
        ("(" * 500 + "i < 3" + ")" * 500, "nested too deeply"),
        ("not " * 500 + "b", "nested too deeply"),
        ("i < 3 or " * 5000 + "b", "characters"),
        (3, "a row condition of int"),
        ({"type": "sql", "text": "1"}, "no row condition has the type 'sql'"),
        ({"type": "comparison", "column": {"name": "i"}, "operator": "LIKE", "parameter": 3}, "'LIKE' is no comparison"),
        ({"type": "comparison", "column": {"name": "i"}, "operator": "==", "parameter": None}, "NULL is no value"),
        ({"type": "comparison", "column": {"name": "i"}, "operator": "==", "parameter": [1]}, "no value to compare"),
        ({"type": "comparison", "column": {}, "operator": "==", "parameter": 1}, "names no column"),
        ({"type": "and", "conditions": []}, "has no conditions"),
    ],
)  # fmt: skip
def test_what_is_no_comparison_is_refused_with_what_can_be_written(written: Any, message: str) -> None:
    with pytest.raises(ConditionError, match=message) as refused:
        read(written)
    assert refused.value.expected


def test_a_condition_of_another_language_is_refused() -> None:
    with pytest.raises(ConditionError, match="'spark'"):
        read("i < 3", "spark")


@given(st.text(alphabet=" ()[].,'\"`@=<>!&|~+-:;\\ainstr0159_e", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConditionError):
        assert read(text) is None or text.strip()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("d >= '2026-10-01'", datetime(2026, 10, 1)),
        ("t >= '2026-10-01'", datetime(2026, 10, 1, tzinfo=UTC)),
        ("t >= '2026-10-01T06:00:00+02:00'", datetime(2026, 10, 1, 4, tzinfo=UTC)),
        ("t >= '2026-10-01 06:00:00.123456Z'", datetime(2026, 10, 1, 6, 0, 0, 123456, tzinfo=UTC)),
        ("f > 0.1", Decimal("0.1")),
    ],
)
def test_values_become_those_of_their_columns_type(written: str, value: Any) -> None:
    condition = read(written)
    assert condition is not None
    comparison = fitted(condition, TYPES)
    assert isinstance(comparison, Comparison)
    assert comparison.value == value


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("nobody < 3", "'nobody' is no column"),
        ("i < '3'", "i is INT64 and is compared with '3'"),
        ("s == 3", "s is STRING and is compared with 3"),
        ("b < True", "has no order"),
        ("b == 1", "b is BOOL"),
        ("i", "i is INT64 and is compared with True"),
        ("d > 'yesterday'", "d is DATE"),
        ("d > '2026-10-01T06:00:00'", "d is DATE"),
        ("d > '20261001'", "d is DATE"),
        ("t > '2026-10-01T00:00:00.1234567'", "t is TIMESTAMP"),
        ("j == 'a'", "j is JSON"),
        ("many == 1", "many is ARRAY<INT64>"),
        ("many.isnull()", "never NULL"),
        ("i == s", "i is INT64 and s is STRING"),
        ("f == n", "f is FLOAT64 and n is NUMERIC"),
    ],
)
def test_what_does_not_fit_its_column_is_refused(written: str, message: str) -> None:
    condition = read(written)
    assert condition is not None
    with pytest.raises(ConditionError, match=message):
        fitted(condition, TYPES)


def test_a_misspelled_column_is_told_with_the_nearest() -> None:
    condition = read("amont > 0")
    assert condition is not None
    with pytest.raises(ConditionError) as refused:
        fitted(condition, {"amount": "NUMERIC", "currency": "STRING"})
    assert refused.value.suggestion == "amount"
