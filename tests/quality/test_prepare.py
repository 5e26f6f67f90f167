import duckdb
import pandas as pd
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.quality.expectations import Expectation
from convergence_assets.quality.frame_views import view
from convergence_assets.quality.prepare import declared_type_judged, like_as_regex, prepared

TEXT = st.text(alphabet="ab%_.*\\\n", max_size=6)


@given(value=TEXT, pattern=TEXT.filter(lambda text: "\\" not in text))
def test_a_like_pattern_matches_what_the_warehouse_matches(value: str, pattern: str) -> None:
    (matches,) = duckdb.execute("SELECT ? LIKE ?", [value, pattern]).fetchone() or (None,)
    assert bool(re2.search(like_as_regex(pattern, None), value)) is matches


def test_an_escaped_wildcard_is_a_character() -> None:
    assert re2.search(like_as_regex(r"50\%", None), "50%")
    assert not re2.search(like_as_regex(r"50\%", None), "500")
    assert re2.search(like_as_regex("50!%", "!"), "50%")


@pytest.mark.parametrize("value", ["2026-03-01", "2026-03-01T00:00:00", "2026-03-01T00:00:00Z"])
def test_dates_given_as_text_become_the_columns_own_kind(value: str) -> None:
    day = pd.DataFrame({"c": pd.to_datetime(["2026-03-01"])})
    at = pd.DataFrame({"c": pd.to_datetime(["2026-03-01"], utc=True)})
    expectation = Expectation("e", "expect_column_values_to_be_between", {"column": "c", "min_value": value})
    assert prepared(expectation, day)[1]["min_value"] == day["c"][0]
    assert prepared(expectation, at)[1]["min_value"] == at["c"][0]


def test_a_suite_parameter_without_a_value_is_refused() -> None:
    expectation = Expectation(
        "e", "expect_column_values_to_be_between", {"column": "c", "min_value": {"$PARAMETER": "yesterdays_sum"}}
    )
    with pytest.raises(ValueError, match="yesterdays_sum"):
        prepared(expectation, pd.DataFrame({"c": [1]}))


@pytest.mark.parametrize(
    ("kwargs", "judged"),
    [
        ({"type_": "NUMERIC"}, (True, "NUMERIC")),
        ({"type_": "DECIMAL(10, 2)"}, (True, "NUMERIC")),
        ({"type_": "STRING"}, (False, "NUMERIC")),
        ({"type_list": ["INTEGER", "BIGDECIMAL"]}, (False, "NUMERIC")),
        ({"type_": "float64"}, None),
    ],
)
def test_bigquery_types_are_judged_by_the_declaration(kwargs: dict[str, object], judged: object) -> None:
    expectation = Expectation("e", "expect_column_values_to_be_of_type", {"column": "c", **kwargs})
    assert declared_type_judged(expectation, {"c": "NUMERIC"}) == judged


def test_the_numeric_view_is_exact_and_leaves_the_frame_alone() -> None:
    frame = pd.DataFrame({
        "full": pd.array([1, 2**60 + 1], "Int64"),
        "small": pd.array([1, None], "Int64"),
        "large": pd.array([2**60 + 1, None], "Int64"),
    })  # fmt: skip
    numbers = view(frame, "numbers", dict.fromkeys(frame.columns, "INT64"))
    assert [str(kind) for kind in numbers.dtypes] == ["int64", "float64", "object"]
    assert numbers["full"][1] == numbers["large"][0] == 2**60 + 1
    assert [str(kind) for kind in frame.dtypes] == ["Int64"] * 3
