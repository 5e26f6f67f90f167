"""Parameters as values of BigQuery's types, written into the statement."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation

from convergence_assets.warehouse.duckdb.quoting import literal
from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import ParameterValue

_NUMERIC = Context(prec=38, Emax=28)
_NINTH = Decimal("0.000000001")
_NAMED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(\w+)""", re.DOTALL)
"""A parameter, or what it is not a parameter in: text and names (DuckDB doubles their quotes), comments."""


def bound(name: str, value: ParameterValue) -> ParameterValue:
    """A Decimal as NUMERIC, with nine decimals; raises `InvalidQuery` where it does not fit.

    A cast to DECIMAL(38,9) would round what has more decimals.
    """
    if not isinstance(value, Decimal):
        return value
    try:
        scaled = value.quantize(_NINTH, context=_NUMERIC)
    except InvalidOperation:
        scaled = None
    if scaled is None or scaled != value:
        raise InvalidQuery(
            f"parameter @{name}: {value} does not fit NUMERIC; bind it as text and CAST it AS BIGNUMERIC"
        )
    return scaled


def with_values(sql: str, parameters: Mapping[str, ParameterValue]) -> str:
    """DuckDB text with a typed literal in place of each `$name`; raises `InvalidQuery` for one that has no value."""
    return replaced(sql, {name: _typed_literal(value) for name, value in parameters.items()})


def replaced(sql: str, values: Mapping[str, str]) -> str:
    """DuckDB text with another text in place of each `$name`; raises `InvalidQuery` for one that has none.

    GoogleSQL writes names of parameters in lower case.
    """
    lower = {name.lower(): text for name, text in values.items()}

    def placed(match: re.Match[str]) -> str:
        name = match[1]
        if name and name not in lower:
            raise InvalidQuery(f"parameter @{name} has no value")
        return lower[name] if name else match[0]

    return _NAMED.sub(placed, sql)


def _typed_literal(value: ParameterValue) -> str:
    """As SQL of the type that BigQuery gives a parameter of this value; a Decimal has nine decimals already."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"CAST({value} AS BIGINT)"
        case Decimal():
            return f"CAST('{value:f}' AS DECIMAL(38,9))"
        case datetime():
            kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMP WITH TIME ZONE"
            return f"CAST('{value.isoformat(sep=' ')}' AS {kind})"
        case date():
            return f"CAST('{value.isoformat()}' AS DATE)"
    # DuckDB's parser ends where a statement holds a NUL.
    parts = map(literal, value.split("\0"))
    return f"CAST({' || chr(0) || '.join(parts)} AS VARCHAR)"
