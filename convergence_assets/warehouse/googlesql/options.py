"""The language that is analyzed: GoogleSQL without what BigQuery does not have."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zetasql.wasi._pb2.zetasql.proto.options_pb2 import LanguageOptionsProto

# Named in full or by what they begin with. What stays are GoogleSQL's finished features.
_NOT_BIGQUERYS = (
    "TIMESTAMP_NANOS", "TIMESTAMP_PICOS", "TIMESTAMP_PRECISION", "PARSE_TIMESTAMP_WITH_PRECISION", "EXTENDED_TYPES",
    "TOKENIZED_SEARCH", "SQL_GRAPH", "PROTO_", "EXTRACT_FROM_PROTO", "EXTRACT_ONEOF", "BRACED_PROTO", "UUID_TYPE",
    "MAP_TYPE", "ENABLE_MEASURES", "MULTILEVEL_AGGREGATION", "ANONYMIZATION", "AGGREGATION_THRESHOLD",
    "ARRAY_EQUALITY", "ARRAY_ORDERING", "LATERAL_JOIN", "LITERAL_CONCATENATION", "LIMIT_OFFSET_EXPRESSIONS",
    "PI_FUNCTIONS", "FIRST_AND_LAST_N", "NULLIFZERO_ZEROIFNULL", "AGGREGATE_FILTERING", "FOR_UPDATE", "DOT_PRODUCT",
    "MANHATTAN_DISTANCE", "L1_NORM", "L2_NORM", "JSON_TYPE_COMPARISON", "JSON_CONTAINS", "UNNEST_AND_FLATTEN_ARRAYS",
    "WITH_RECURSIVE_DEPTH_MODIFIER", "MULTI_GROUPING_SETS", "STRUCT_BRACED_CONSTRUCTORS", "UPDATE_CONSTRUCTOR",
    "ALIASES_FOR_STRING_AND_DATE_FUNCTIONS", "TVF_PSEUDO_COLUMNS", "STRUCT_POSITIONAL_ACCESSOR", "WITH_GROUP_ROWS",
    "PIPE_STATIC_DESCRIBE", "PIPE_DESCRIBE", "PIPE_IF", "PIPE_FORK", "PIPE_TEE", "PIPE_EXPORT_DATA",
    "PIPE_CREATE_TABLE", "PIPE_INSERT", "PIPE_CALL_INPUT_TABLE", "PIPE_RECURSIVE_UNION", "EXPERIMENTAL_MODULES",
    "ARRAY_FIND_FUNCTIONS", "ARRAY_AGGREGATION_FUNCTIONS", "REPLACE_FIELDS", "FILTER_FIELDS",
    "ENFORCE_CONDITIONAL_EVALUATION",
)  # fmt: skip


@cache
def language_options() -> "LanguageOptionsProto":
    """BigQuery's, as near as GoogleSQL's switches allow."""
    from zetasql.wasi._pb2.zetasql.proto.options_pb2 import LanguageOptionsProto
    from zetasql.wasi._pb2.zetasql.public import options_pb2
    from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_node_kind_pb2

    features, absent = set(), set()
    for value in options_pb2.LanguageFeature.DESCRIPTOR.values:
        has = value.GetOptions().Extensions[options_pb2.language_feature_options]
        if has.ideally_enabled and not has.in_development:
            features.add(value.number)
        if _plain(value.name).startswith(_NOT_BIGQUERYS):
            absent.add(value.number)
    return LanguageOptionsProto(
        name_resolution_mode=options_pb2.NAME_RESOLUTION_DEFAULT,
        product_mode=options_pb2.PRODUCT_EXTERNAL,
        enabled_language_features=sorted(features - absent - {0, -1}),
        supported_statement_kinds=[
            resolved_node_kind_pb2.RESOLVED_QUERY_STMT,
            resolved_node_kind_pb2.RESOLVED_CREATE_FUNCTION_STMT,
        ],
        reserved_keywords=["QUALIFY"],
    )


def _plain(name: str) -> str:
    """A feature's name without its prefixes: FEATURE_V_1_4_MAP_TYPE is MAP_TYPE."""
    plain = name.removeprefix("FEATURE_")
    return plain.split("_", 3)[3] if plain.startswith("V_1_") else plain
