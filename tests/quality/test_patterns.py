"""A pattern handed to RE2 finds what Python finds, or is not handed over."""

import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.quality.patterns import as_re2
from tests.examples import examples

PATTERNS = st.text(alphabet="ab1-^$.*+?|()[]\\dn\n{2,}é", max_size=12)
TEXTS = st.lists(st.text(alphabet="ab1-\n$é٣.", max_size=6), min_size=5, max_size=8)


@pytest.mark.filterwarnings("ignore:Possible (set|nested set):FutureWarning")
@pytest.mark.property
@settings(max_examples=examples(100), deadline=None)
@given(PATTERNS, TEXTS)
def test_re2_finds_what_python_finds(pattern: str, texts: list[str]) -> None:
    try:
        compiled = re.compile(pattern)
    except (re.error, FutureWarning):
        return
    translated = as_re2(pattern)
    if translated is None:
        return
    with duckdb.connect() as connection:
        for text in texts:
            found = connection.execute("SELECT regexp_matches(?, ?)", [text, translated]).fetchone()
            assert found == (compiled.search(text) is not None,), text


@pytest.mark.parametrize("pattern", ["^[A-Z]{3}$", r"^\d+(-x|y)*$", "a|b", "[^a-z]", r"\.csv\Z"])
def test_plain_patterns_are_handed_over(pattern: str) -> None:
    assert as_re2(pattern) is not None


@pytest.mark.parametrize("pattern", ["a(?=b)", r"(a)\1", "(?i)eur", r"\w+", r"\bx", "a$b", "a{2000}", "("])
def test_what_re2_lacks_or_reads_otherwise_is_not_handed_over(pattern: str) -> None:
    assert as_re2(pattern) is None
