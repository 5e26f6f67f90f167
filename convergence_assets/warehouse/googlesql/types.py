"""GoogleSQL's types as BigQuery SQL spells them."""

from typing import TYPE_CHECKING, Any, cast

from convergence_assets.warehouse.schema import Column, ColumnType, Mode

if TYPE_CHECKING:
    from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeProto


def kind_of(kind: "TypeProto") -> str:
    """STRING, INT64, ARRAY, STRUCT and so on, without what lies within."""
    from zetasql.wasi._pb2.zetasql.public import type_pb2

    name: str = type_pb2.TypeKind.Name(kind.type_kind).removeprefix("TYPE_")
    return {"DOUBLE": "FLOAT64", "FLOAT": "FLOAT32"}.get(name, name)


def spelled(kind: "TypeProto") -> str:
    """The whole type: `ARRAY<STRUCT<key STRING, value STRING>>`."""
    match kind_of(kind):
        case "ARRAY":
            return f"ARRAY<{spelled(kind.array_type.element_type)}>"
        case "STRUCT":
            fields = (f"{f.field_name} {spelled(f.field_type)}".strip() for f in kind.struct_type.field)
            return f"STRUCT<{', '.join(fields)}>"
        case "RANGE":
            return f"RANGE<{spelled(kind.range_type.element_type)}>"
        case plain:
            return plain


def column_of(name: str, kind: "TypeProto") -> Column:
    """A column of that type; one that no table has (INTERVAL, RANGE) keeps GoogleSQL's name."""
    mode: Mode = "NULLABLE"
    if kind_of(kind) == "ARRAY":
        mode, kind = "REPEATED", kind.array_type.element_type
    members: Any = kind.struct_type.field if kind_of(kind) == "STRUCT" else ()
    fields = tuple(column_of(f.field_name, f.field_type) for f in members)
    return Column(name, "RECORD" if fields else cast("ColumnType", kind_of(kind)), mode, fields=fields)
