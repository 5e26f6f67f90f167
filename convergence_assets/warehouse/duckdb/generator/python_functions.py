"""Functions of Python that generated SQL calls, for what DuckDB has nothing exact for."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class PythonFunction:
    """A function of values; NULL where one of its arguments is NULL, unless it `takes_nulls`."""

    name: str
    takes: tuple[str, ...]
    gives: str
    work: Callable[..., Any]
    takes_nulls: bool = False

    def of_a_row(self) -> Callable[..., Any]:
        """The function with the number of parameters that DuckDB looks for."""

        def run(*values: Any) -> Any:
            return None if None in values and not self.takes_nulls else self.work(*values)

        kind = inspect.Parameter.POSITIONAL_ONLY
        parameters = [inspect.Parameter(f"p{at}", kind) for at in range(len(self.takes))]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run


def install(connection: "duckdb.DuckDBPyConnection", python_functions: Iterable[PythonFunction]) -> None:
    """Register them as `python_<name>`, for this connection alone."""
    from duckdb.func import FunctionNullHandling, PythonUDFType

    for function in python_functions:
        # Not over Arrow: its texts are freed while CASE or a cast still refers to them (DuckDB 1.5).
        connection.create_function(
            f"python_{function.name}", function.of_a_row(), [connection.type(kind) for kind in function.takes],
            connection.type(function.gives), type=PythonUDFType.NATIVE, null_handling=FunctionNullHandling.SPECIAL,
        )  # fmt: skip
