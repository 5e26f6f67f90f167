"""How a macro raises: an error that DuckDB does not take for a side effect."""


def refused(said: str, value: str, kind: str) -> str:
    """A cast of `value` to `kind` that fails with these words. DuckDB refuses error() in GROUP BY and ORDER BY."""
    return f"CAST('{said}: ' || {value} AS {kind})"
