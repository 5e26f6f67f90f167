"""A pattern of a suite finds the same in a frame, in DuckDB and by RE2 itself, in linear time, or is refused at load."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.quality.patterns import contains, contains_of, fits
from convergence_assets.re2_patterns import LONGEST, mistake
from tests.examples import examples

pytestmark = pytest.mark.xdist_group("great_expectations")

PATTERNS = st.text(alphabet="ab1-^$.*+?|()[]\\dwsbzAn\n{2,}é(?im)", max_size=12)
TEXTS = st.lists(st.text(alphabet="abAB1-\n$é٣. ", max_size=6), min_size=5, max_size=8)


@pytest.mark.property
@settings(max_examples=examples(100), deadline=None)
@given(PATTERNS, TEXTS)
def test_every_engine_finds_the_same(pattern: str, texts: list[str]) -> None:
    if mistake(pattern):
        return
    compiled = re2.compile(pattern)
    expected = [compiled.search(text) is not None for text in texts]
    assert contains(pd.Series(texts), pattern).tolist() == expected
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT regexp_matches(t, ?) FROM (SELECT UNNEST(?) AS t, generate_subscripts(?, 1) AS i) ORDER BY i",
            [pattern, texts, texts],
        ).fetchall()
    assert [found for (found,) in rows] == expected


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [(r"\d", "٣", False), (r"\w", "é", False), ("a$", "a\n", False), ("(?m)^b", "a\nb", True), ("a.b", "a\nb", False),
     ("(?i)É", "é", True), (r"\p{Nd}", "٣", True)],
)  # fmt: skip
def test_classes_are_of_ascii_and_the_end_is_the_texts_end(pattern: str, text: str, found: bool) -> None:
    assert contains(pd.Series([text]), pattern).tolist() == [found]


@pytest.mark.parametrize(
    ("pattern", "otherwise"),
    [
        ("a(?=b)", "two expectations"), ("(?<!a)b", "two expectations"), (r"(a)\1", "unexpected_rows_query"),
        (r"a\Z", r"\z, or $"), ("a{1001}", "at most 1000"), ("(a{50}){50}", "at most 1000"), ("a++b", "never goes back"),
        ("(?>a)b", "never goes back"), (r"\u20ac", r"\x{20AC}"), ("(a)?(?(1)b|c)", "one pattern for each case"),
        ("(?x) a b", "one of (?i)"), ("a(?#why)", "beside it"), ("a" * (LONGEST + 1), f"at most {LONGEST}"), ("(", ""),
    ],
)  # fmt: skip
def test_what_re2_does_not_take_is_refused_with_another_way_to_write_it(pattern: str, otherwise: str) -> None:
    found = mistake(pattern)
    assert found is not None
    assert otherwise in (found[1] or "")
    with pytest.raises(ValueError):
        contains(pd.Series(["a"]), pattern)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(a?){50}a{50}$"])
def test_a_pattern_that_goes_back_without_end_in_python_ends_here(pattern: str) -> None:
    assert contains(pd.Series(["a" * 5000 + "b"]), pattern).tolist() == [False]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("type_", "kwargs"),
    [("expect_column_values_to_match_regex", {"regex": "(a+)+$"}),
     ("expect_column_values_to_match_regex_list", {"regex_list": ["(a+)+$"]}),
     ("expect_column_values_to_match_like_pattern", {"like_pattern": "%a%a%a%a%a%a%a%a%a%ac"}),
     ("expect_column_values_to_match_json_schema", {"json_schema": {"pattern": "^(a+)+$"}})],
)  # fmt: skip
def test_great_expectations_is_given_re2_for_each_of_its_types(one: Any, type_: str, kwargs: dict[str, Any]) -> None:
    text = "a" * 60 + "b"
    value = json.dumps(text) if "json" in type_ else text
    outcome = one(type_, {"column": "c", **kwargs}, {"c": ("STRING", [value])})
    assert (outcome.passed, outcome.error) == (False, None)
    opposite = type_.replace("_to_match_", "_to_not_match_")
    if "json" not in type_:
        assert one(opposite, {"column": "c", **kwargs}, {"c": ("STRING", [value])}).passed


def test_several_patterns_are_any_or_all() -> None:
    column = pd.Series(["ab", "a", "c"], index=[7, 8, 9])
    assert contains_of(column, ["a", "b"]).to_dict() == {7: True, 8: True, 9: False}
    assert contains_of(column, ["a", "b"], "all").to_dict() == {7: True, 8: False, 9: False}
    with pytest.raises(ValueError):
        contains_of(column, ["a"], "none")


@pytest.mark.parametrize(
    ("schema", "judged"),
    [({"type": "string"}, [True, False]), ({"pattern": "^(x+)+$"}, [False, True]),
     ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, [False, True])],
)  # fmt: skip
def test_json_is_held_to_its_schema(schema: dict[str, Any], judged: list[bool]) -> None:
    assert fits(pd.Series(['"y"', "1"]), schema).tolist() == judged


def test_a_schema_reads_no_file_and_no_address(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("{}")
    with pytest.raises(Exception, match=r"Unresolvable|s\.json"):
        fits(pd.Series(["1"]), {"$ref": (tmp_path / "s.json").as_uri()})
