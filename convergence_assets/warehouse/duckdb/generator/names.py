"""Names of the generated text."""

import re
from typing import Any

_PLAIN = re.compile(r"[^A-Za-z0-9_]+")


def column_name(column: Any) -> str:
    """A resolved column's name, which no other column of the statement has: the author's with its number."""
    plain = _PLAIN.sub("", column.name)
    return f"{plain if plain and not plain[0].isdigit() else 'c' + plain}_{column.column_id}"
