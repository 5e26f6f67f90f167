"""Declared tables and parameters as the analyzer's catalog."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from convergence_assets.warehouse.googlesql.options import language_options
from convergence_assets.warehouse.schema import Column

if TYPE_CHECKING:
    from zetasql.wasi._pb2.zetasql.local_service.local_service_pb2 import RegisterCatalogRequest
    from zetasql.wasi._pb2.zetasql.proto.options_pb2 import AnalyzerOptionsProto
    from zetasql.wasi._pb2.zetasql.proto.simple_catalog_pb2 import SimpleCatalogProto
    from zetasql.wasi._pb2.zetasql.public.type_pb2 import TypeProto

Tables = Mapping[str, Sequence[Column]]
"""Columns by table, named as statements name it."""
_KINDS = {
    "STRING": "TYPE_STRING", "INT64": "TYPE_INT64", "NUMERIC": "TYPE_NUMERIC", "BIGNUMERIC": "TYPE_BIGNUMERIC",
    "FLOAT64": "TYPE_DOUBLE", "BOOL": "TYPE_BOOL", "DATE": "TYPE_DATE", "DATETIME": "TYPE_DATETIME",
    "TIMESTAMP": "TYPE_TIMESTAMP", "TIME": "TYPE_TIME", "BYTES": "TYPE_BYTES", "JSON": "TYPE_JSON",
    "INTERVAL": "TYPE_INTERVAL", "GEOGRAPHY": "TYPE_GEOGRAPHY",
}  # fmt: skip
_ALIASES = {
    "INT": "INT64", "SMALLINT": "INT64", "INTEGER": "INT64", "BIGINT": "INT64", "TINYINT": "INT64",
    "BYTEINT": "INT64", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC",
}  # fmt: skip
"""https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types has them for each type."""
_BY_ANOTHER = ("max_by", "min_by")
"""BigQuery's functions that are no part of GoogleSQL: https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions#max_by."""
_REWRITES = (
    "PIVOT", "UNPIVOT", "FLATTEN", "ARRAY_INCLUDES", "TYPEOF_FUNCTION", "NULLIFERROR_FUNCTION",
    "BUILTIN_FUNCTION_INLINER",
)  # fmt: skip
"""What the analyzer writes as plainer nodes. (UNNEST of several arrays and IS_FIRST break it down.)"""


def type_of(column: Column) -> "TypeProto":
    """A declared column's type."""
    from zetasql.wasi._pb2.zetasql.public import type_pb2

    if column.type == "RECORD":
        proto = type_pb2.TypeProto(type_kind=type_pb2.TYPE_STRUCT)
        for field in column.fields:
            proto.struct_type.field.add(field_name=field.name, field_type=type_of(field))
    else:
        proto = _named(column.type)
    if column.mode == "REPEATED":
        array = type_pb2.TypeProto(type_kind=type_pb2.TYPE_ARRAY)
        array.array_type.element_type.CopyFrom(proto)
        return array
    return proto


def catalog(tables: Tables, pseudo_columns: Tables | None = None) -> "SimpleCatalogProto":
    """The tables with BigQuery's functions and names of types; `pseudo_columns` are read by name alone, as
    `_PARTITIONTIME` is, and are no part of `*`."""
    from zetasql.wasi._pb2.zetasql.proto import simple_catalog_pb2

    proto = simple_catalog_pb2.SimpleCatalogProto(name="bigquery")
    proto.builtin_function_options.language_options.CopyFrom(language_options())
    for alias, meant in _ALIASES.items():
        proto.named_type.add(name=alias, type=_named(meant))
    for name in _BY_ANOTHER:
        _add_extreme_by(proto, name)
    for number, (name, columns) in enumerate(tables.items(), 1):
        table = proto.table.add(name=name, serialization_id=number)
        for column in columns:
            table.column.add(name=column.name, type=type_of(column))
        for column in (pseudo_columns or {}).get(name, ()):
            table.column.add(name=column.name, type=type_of(column), is_pseudo_column=True)
    return proto


def _add_extreme_by(catalog: "SimpleCatalogProto", name: str) -> None:
    """`name(value, by)`: an aggregate of two types, which gives the first one's."""
    from zetasql.wasi._pb2.zetasql.public import function_pb2

    function = catalog.custom_function.add(name_path=[name], group="ZetaSQL", mode=function_pb2.FunctionEnums.AGGREGATE)
    function.options.supports_over_clause = False
    signature = function.signature.add()
    for kind in (function_pb2.ARG_TYPE_ANY_1, function_pb2.ARG_TYPE_ANY_2):
        signature.argument.add(kind=kind, num_occurrences=1).options.cardinality = function_pb2.FunctionEnums.REQUIRED
    signature.return_type.kind = function_pb2.ARG_TYPE_ANY_1
    signature.return_type.num_occurrences = 1


def registration() -> "RegisterCatalogRequest":
    """The request that makes a catalog of BigQuery's functions and types, without tables."""
    from zetasql.wasi._pb2.zetasql.local_service.local_service_pb2 import RegisterCatalogRequest

    request = RegisterCatalogRequest(simple_catalog=catalog({}))
    request.descriptor_pool_list.definitions.add().builtin.SetInParent()
    return request


def analyzer_options(parameters: Mapping[str, str]) -> "AnalyzerOptionsProto":
    """`parameters` are BigQuery's types by name, as `@name` is bound to."""
    from zetasql.wasi._pb2.zetasql.proto.options_pb2 import AnalyzerOptionsProto
    from zetasql.wasi._pb2.zetasql.public import options_pb2

    options = AnalyzerOptionsProto(
        language_options=language_options(),
        default_timezone="UTC",
        error_message_mode=options_pb2.ERROR_MESSAGE_ONE_LINE,
        parse_location_record_type=options_pb2.PARSE_LOCATION_RECORD_CODE_SEARCH,
        prune_unused_columns=True,
        parameter_mode=options_pb2.PARAMETER_NAMED,
    )
    options.enabled_rewrites.extend(options_pb2.ResolvedASTRewrite.Value(f"REWRITE_{name}") for name in _REWRITES)
    for name, kind in sorted(parameters.items()):
        options.query_parameters.add(name=name, type=_named(kind))
    return options


def _named(kind: str) -> "TypeProto":
    from zetasql.wasi._pb2.zetasql.public import type_pb2

    return type_pb2.TypeProto(type_kind=type_pb2.TypeKind.Value(_KINDS[kind]))
