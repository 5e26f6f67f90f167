"""Regular expressions of suites: RE2's, which finds in linear time, and the same on every engine.

DuckDB, Arrow and BigQuery have RE2 inside; google-re2 tells at load what it takes
(https://github.com/google/re2/wiki/Syntax).
"""

import re
from functools import lru_cache

import re2

LONGEST = 10_000
"""Characters of a pattern."""

_OTHERWISE = (
    (r"\(\?<?[=!]", "look-around", "two expectations, one that matches and one that does not"),
    (r"\\[1-9]|\(\?P=", "a back-reference", "an unexpected_rows_query that compares the two parts"),
    (r"\\Z", r"\Z", r"\z, or $, which is the end of the text"),
    (r"\\[uU]", r"\u", r"\x{20AC} for a character by its number"),
    (r"[*+?}]\+|\(\?>", "a repetition that gives nothing back", "the same without it: RE2 never goes back"),
    (r"\(\?\(", "a condition", "one pattern for each case, with | between them"),
    (r"\(\?[a-z]*[aLux]", "this flag", "one of (?i), (?m), (?s) and (?U)"),
    (r"\(\?#", "a remark within a pattern", "a remark beside it"),
)
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20  # a large one takes a quarter of a second to compile with RE2's own eight megabytes


@lru_cache(maxsize=4096)
def mistake(pattern: str) -> tuple[str, str | None] | None:
    """Why RE2 does not take a pattern, and another way to write it where there is one; None where it does."""
    if len(pattern) > LONGEST:
        return f"the pattern has {len(pattern)} characters", f"at most {LONGEST}"
    try:
        re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args else "it is not taken"
        if "invalid repetition size" in reason:
            return reason, "repetitions of at most 1000, counted ones within each other together"
        for found, what, otherwise in _OTHERWISE:
            if re.search(found, pattern):
                return f"{what} is not in RE2 ({reason})", otherwise
        return reason, None
    return None
