"""Text patterns and JSON schemas of suites, matched with RE2 instead of Python's own patterns.

Python's backtrack and may take for ever over a short text; and they read `\\d`, `$` and flags as no warehouse does.
"""

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from convergence_assets.re2_patterns import mistake

if TYPE_CHECKING:
    import pandas as pd


def contains(column: "pd.Series[Any]", pattern: str) -> "pd.Series[Any]":
    """Whether RE2 finds the pattern in each value, as text. Raises ValueError for one that RE2 does not take."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    if problem := mistake(pattern):
        raise ValueError(f"{pattern!r}: {problem[0]}")
    # Many rows share few texts: each is matched once.
    texts = pa.array(column.astype(str), type=pa.string()).dictionary_encode()
    matched = pc.take(pc.match_substring_regex(texts.dictionary, pattern), texts.indices)
    return pd.Series(matched.to_numpy(zero_copy_only=False), index=column.index, dtype=bool)


def contains_of(column: "pd.Series[Any]", patterns: Sequence[str], match_on: str = "any") -> "pd.Series[Any]":
    """Whether any, or all, of the patterns are found in each value."""
    if match_on not in ("any", "all"):
        raise ValueError("match_on must be either 'any' or 'all'")
    matches = [contains(column, pattern) for pattern in patterns]
    return reduce(lambda one, other: one | other if match_on == "any" else one & other, matches)


def fits(column: "pd.Series[Any]", schema: Mapping[str, Any]) -> "pd.Series[Any]":
    """Whether each text is JSON of this schema, read without any file or address that the schema refers to. Raises what
    a text that is no JSON, or a schema that is none, raises."""
    import jsonschema
    import referencing

    of_its_draft = jsonschema.validators.validator_for(schema)
    of_its_draft.check_schema(schema)
    of_re2 = jsonschema.validators.extend(of_its_draft, {"pattern": _pattern})
    validator = of_re2(schema, registry=referencing.Registry())
    return column.map(lambda text: validator.is_valid(json.loads(text)))


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Any:
    import jsonschema
    import pandas as pd

    if isinstance(instance, str) and not contains(pd.Series([instance]), pattern).item():
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")
