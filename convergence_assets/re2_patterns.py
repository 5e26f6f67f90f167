"""Regular expressions of suites: RE2's, which match in linear time, and alike on every engine.

DuckDB, Arrow and BigQuery use RE2; google-re2 shows at load what it accepts
(https://github.com/google/re2/wiki/Syntax).
"""

import re
from functools import lru_cache

import re2

LONGEST = 10_000
"""In characters."""

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
_OPTIONS.max_mem = 1 << 20  # with RE2's default of 8 MB a large pattern compiles in a quarter of a second


@lru_cache(maxsize=4096)
def mistake(pattern: str) -> tuple[str, str | None] | None:
    """Why RE2 rejects a pattern, with an alternative where there is one; None where it accepts it."""
    if len(pattern) > LONGEST:
        return f"the pattern has {len(pattern)} characters", f"at most {LONGEST}"
    try:
        re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if error.args else "it is not taken"
        if "invalid repetition size" in reason:
            return reason, "repetitions of at most 1000, counted ones within each other together"
        for unsupported, what, otherwise in _OTHERWISE:
            if re.search(unsupported, pattern):
                return f"{what} is not in RE2 ({reason})", otherwise
        return reason, None
    return None
