"""STDDEV, VARIANCE, CORR and COVAR of a list of values: DuckDB's own lose digits where the values lie close together."""

import math
from collections.abc import Callable
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

_KINDS = {"float64": "DOUBLE", "numeric": "DECIMAL(38,9)"}
_WIDE = Context(prec=60)
_NAMES = ("var_samp", "var_pop", "stddev_samp", "stddev_pop", "corr", "covar_samp", "covar_pop")


def statistic(name: str, pairs: "Sequence[tuple[Any, Any]]") -> float | None:
    """A statistic of pairs of numbers; a variance is the covariance of a value with itself."""
    count = len(pairs)
    less = 1 if name.endswith("_samp") or name == "corr" else 0
    if count <= less:
        return None
    covariance: Callable[..., float]
    if isinstance(pairs[0][0], Decimal):
        covariance = _exact
    elif all(math.isfinite(a) and math.isfinite(b) for a, b in pairs):
        covariance = _rounded
    else:
        return math.nan
    if name == "corr":
        ones, others = [(a, a) for a, _ in pairs], [(b, b) for _, b in pairs]
        product = covariance(ones, 0) * covariance(others, 0)
        return covariance(pairs, 0) / math.sqrt(product) if product > 0 else math.nan
    result = covariance(pairs, less)
    return math.sqrt(result) if name.startswith("stddev") else result


def _rounded(pairs: "Sequence[tuple[float, float]]", less: int) -> float:
    count = len(pairs)
    scale = math.ldexp(1.0, -540) if any(abs(a) > 1e150 or abs(b) > 1e150 for a, b in pairs) else 1.0
    first = math.fsum(a * scale for a, _ in pairs) / count
    second = math.fsum(b * scale for _, b in pairs) / count
    covariance = math.fsum((a * scale - first) * (b * scale - second) for a, b in pairs) / (count - less)
    return covariance / scale / scale if scale != 1.0 else covariance


def _exact(pairs: "Sequence[tuple[Decimal, Decimal]]", less: int) -> float:
    units = [(int(a.scaleb(9, _WIDE)), int(b.scaleb(9, _WIDE))) for a, b in pairs]
    count = len(units)
    total = count * sum(a * b for a, b in units) - sum(a for a, _ in units) * sum(b for _, b in units)
    return total / (count * (count - less) * 10**18)


def _function(name: str) -> "Callable[[pa.ChunkedArray], pa.Array]":
    def run(lists: "pa.ChunkedArray") -> "pa.Array":
        import pyarrow as pa

        values = [statistic(name, [(pair["a"], pair["b"]) for pair in pairs or ()]) for pairs in lists.to_pylist()]
        return pa.array(values, pa.float64())

    return lambda lists: run(lists)


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register `bq_<statistic>_<type>` over a list of pairs, for this connection alone."""
    from duckdb.func import FunctionNullHandling, PythonUDFType

    for name in _NAMES:
        for kind, duckdb_type in _KINDS.items():
            connection.create_function(
                f"bq_{name}_{kind}", _function(name),
                [connection.type(f"STRUCT(a {duckdb_type}, b {duckdb_type})[]")], connection.type("DOUBLE"),
                type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL,
            )  # fmt: skip
