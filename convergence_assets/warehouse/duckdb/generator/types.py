"""GoogleSQL's types as DuckDB's."""

from typing import Any

from convergence_assets.warehouse.duckdb import column_types
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

SCALARS = column_types.SCALARS | {"INTERVAL": "INTERVAL"}


def duckdb_type(kind: Any) -> str:
    """Raises `Unsupported` for a type that the engine has no form for."""
    match kind_of(kind):
        case "ARRAY":
            return f"{duckdb_type(kind.array_type.element_type)}[]"
        case "STRUCT":
            if not kind.struct_type.field:
                raise Unsupported("a STRUCT without fields has no form on the embedded engine", "give it a field")
            names = field_names(kind)
            fields = zip(names, kind.struct_type.field, strict=True)
            return f"STRUCT({', '.join(f'{quoted(n)} {duckdb_type(f.field_type)}' for n, f in fields)})"
        case plain if plain in SCALARS:
            return SCALARS[plain]
    raise Unsupported(f"the type {spelled(kind)} has no form on the embedded engine", "use another type")


def field_names(kind: Any) -> list[str]:
    """A STRUCT's fields as DuckDB names them: as written, or by their place where a name is absent or repeated."""
    names = [f.field_name for f in kind.struct_type.field]
    if len({n.lower() for n in names}) == len(names) and all(names):
        return names
    return [f"_field_{at}" for at in range(1, len(names) + 1)]


def fields_of(kind: Any) -> list[tuple[str, Any]]:
    """A STRUCT's fields: DuckDB's name and GoogleSQL's type of each."""
    return list(zip(field_names(kind), (f.field_type for f in kind.struct_type.field), strict=True))


def element_of(kind: Any) -> Any:
    """The type of an ARRAY's elements."""
    return kind.array_type.element_type
