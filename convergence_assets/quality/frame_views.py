"""The frame as an expectation of Great Expectations reads it: each column in the form that makes its answer right."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from convergence_assets.quality.exact import EXACT

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["text", "types", "doubles", "operands", "objects", "numbers", "as they are"]

_FORMS: tuple[tuple[re.Pattern[str], Form], ...] = (
    (re.compile("regex|like|length|strftime|dateutil|json"), "text"),
    (re.compile("type"), "types"),
    (re.compile("z_scores|outliers|kl_divergence|quantile"), "doubles"),
    (re.compile("multicolumn_sum|pair_values_to_be_equal|pair_values_a"), "operands"),
    (re.compile("pair_values_to_be_in_set|increasing|decreasing"), "objects"),
    (re.compile("null|unique|in_set|contain_set|equal_set|most_common|table_"), "as they are"),
    (re.compile(""), "numbers"),
)
_EXACT_AS_FLOAT = 2**53


def form_of(type_: str) -> Form:
    """What expectations of this type read. What looks at how a value is written reads text, what is statistics reads
    doubles, what adds, or compares one row's value with another's, reads Python's exact numbers."""
    return next(form for pattern, form in _FORMS if pattern.search(type_))


def view(frame: "pd.DataFrame", form: Form, types: Mapping[str, str]) -> "pd.DataFrame":
    """The frame in this form; it shares the values of columns that stay as they are."""
    import pandas as pd

    columns: dict[Any, pd.Series[Any]] = {}
    for name, column in frame.items():
        declared = types.get(str(name), "")
        columns[name] = _formed(column, declared, form) if declared in EXACT else column
    return pd.DataFrame(columns, index=frame.index, copy=False)


def kinds_of(frame: "pd.DataFrame") -> dict[str, str]:
    """The types of a frame's columns judged by their values, where no table declares them."""
    import pandas as pd

    kinds: dict[str, str] = {}
    for name, column in frame.items():
        dtype = column.dtype
        if isinstance(dtype, pd.DatetimeTZDtype):
            kinds[str(name)] = "TIMESTAMP"
        elif pd.api.types.is_datetime64_any_dtype(dtype):
            kinds[str(name)] = "DATETIME"
        elif pd.api.types.is_integer_dtype(dtype):
            kinds[str(name)] = "INT64"
        elif pd.api.types.is_float_dtype(dtype):
            kinds[str(name)] = "FLOAT64"
        else:
            first = next(iter(column.dropna()), None)
            kind = {Decimal: "BIGNUMERIC", bool: "BOOL", bytes: "BYTES"}
            kinds[str(name)] = kind.get(type(first), "BOOL" if pd.api.types.is_bool_dtype(dtype) else "STRING")
    return kinds


def _formed(column: "pd.Series[Any]", declared: str, form: Form) -> "pd.Series[Any]":
    whole = declared == "INT64"
    if form == "text":
        return column if whole else column.map(_written, na_action="ignore")
    if form == "doubles" or (form == "types" and not whole):
        missing = column.isna()
        return column.astype(object).mask(missing, None).map(float, na_action="ignore").astype("float64")
    if form in ("operands", "objects"):
        return column.astype(object).where(column.notna(), Decimal("NaN") if form == "operands" else None)
    return _numbers(column) if form == "numbers" and whole else column


def _written(value: Decimal) -> str:
    """As BigQuery writes a NUMERIC: no exponent and no trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Whole numbers as floats where that is exact, else as Python's.

    pandas' nullable integers make comparisons of two columns fail on a NULL and those with a bound a hundred times
    slower.
    """
    import pandas as pd

    if not isinstance(column.dtype, pd.Int64Dtype):
        return column
    if not column.hasnans:
        return column.astype("int64")
    if column.between(-_EXACT_AS_FLOAT, _EXACT_AS_FLOAT).all():
        return column.astype("float64")
    return column.astype(object).where(column.notna(), None)
