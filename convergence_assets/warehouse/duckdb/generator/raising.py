"""How a macro raises: an error that DuckDB does not take for a side effect."""

import re

TEXT = "(a || '')"
"""A macro's text `a` where a cast of it may fail: DuckDB (1.5) casts all elements of UNNEST's STRUCTs, those that CASE
leaves out among them, but not what another function makes of them."""
_MARK = "BigQuery refuses: "
_RAISED = re.compile(rf"^.*?[\"']{_MARK}(.*)[\"'](?: to \w+.*|, expected format is .*|.*)$", re.DOTALL)


def refused(words: str, value: str, kind: str) -> str:
    """A cast of `value` to `kind` that fails with these words. DuckDB refuses error() in GROUP BY and ORDER BY."""
    return f"CAST('{_MARK}{words}: ' || {value} AS {kind})"


def refusal(words: str) -> str:
    """A text that Python gives for a number, and whose cast fails with these words."""
    return f"{_MARK}{words}"


def without_cast(message: str) -> str:
    """A macro's own error message, taken out of DuckDB's message about the cast."""
    match = _RAISED.match(message)
    return match[1] if match else message
