"""Names and text as DuckDB reads them."""


def quoted(name: str) -> str:
    """A DuckDB identifier; its parser ends at a NUL, which BigQuery's escapes may put into a name."""
    return '"' + name.replace('"', '""').replace("\0", "\ufffd") + '"'


def literal(text: str) -> str:
    """A DuckDB string literal."""
    return "'" + text.replace("'", "''") + "'"
