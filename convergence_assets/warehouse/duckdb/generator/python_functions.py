"""Functions of Python that generated SQL calls, for what DuckDB has nothing exact for."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class PythonFunction:
    """A function of values; NULL where one of its arguments is NULL, unless it `takes_nulls`."""

    name: str
    takes: tuple[str, ...]
    gives: str
    work: Callable[..., Any]
    takes_nulls: bool = False

    def over_columns(self) -> Callable[..., "pa.Array"]:
        """The function over Arrow columns, with the number of parameters that DuckDB looks for."""

        def run(*columns: "pa.ChunkedArray") -> "pa.Array":
            import pyarrow as pa

            rows = zip(*(column.to_pylist() for column in columns), strict=True)
            if self.takes_nulls:
                values = [self.work(*row) for row in rows]
            else:
                values = [None if None in row else self.work(*row) for row in rows]
            return pa.array(values, _arrow_type(self.gives))

        kind = inspect.Parameter.POSITIONAL_ONLY
        parameters = [inspect.Parameter(f"p{at}", kind) for at in range(len(self.takes))]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run


def install(connection: "duckdb.DuckDBPyConnection", python_functions: Iterable[PythonFunction]) -> None:
    """Register them as `python_<name>`, for this connection alone."""
    from duckdb.func import FunctionNullHandling, PythonUDFType

    for function in python_functions:
        connection.create_function(
            f"python_{function.name}", function.over_columns(), [connection.type(kind) for kind in function.takes],
            connection.type(function.gives), type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL,
        )  # fmt: skip


def _arrow_type(kind: str) -> "pa.DataType":
    import pyarrow as pa

    if kind.endswith("[]"):
        return pa.list_(_arrow_type(kind[:-2]))
    return {
        "VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "BLOB": pa.binary(),
    }[kind]  # fmt: skip
