"""Functions of JSON, and of STRINGs that hold it.

What these functions give is the text that BigQuery prints of a value (see `json_printer`); a file's JSON column may hold
another text of it.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.duckdb.generator import (
    float_texts,
    json_changes,
    json_conversion,
    json_extraction,
    json_paths,
    json_printer,
    json_strict_parser,
)
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction, install
from convergence_assets.warehouse.duckdb.generator.types import element_of, fields_of
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

if TYPE_CHECKING:
    import duckdb

_WIDE = "9007199254740992"
_FRACTION = "regexp_replace(strftime({0}, '.%f'), '(\\.000000|000)$', '')"
_T = "strftime({0}, '%Y-%m-%dT%H:%M:%S')"
MACROS = (
    "bq_json_number(a) AS CASE WHEN a IS NULL THEN 'null' WHEN contains(a, '.') OR"
    f" coalesce(TRY_CAST(a AS BIGINT) NOT BETWEEN -{_WIDE} AND {_WIDE}, true) THEN '\"' || a || '\"' ELSE a END",
)

# By function: what it gives, and the Python functions over a STRING and over a JSON value.
_SEARCHES: dict[str, tuple[str, Callable[..., Any], Callable[..., Any], bool]] = {
    "json_query": ("VARCHAR", json_extraction.text_query, json_extraction.query, True),
    "json_extract": ("VARCHAR", json_extraction.text_query, json_extraction.query, False),
    "json_value": ("VARCHAR", json_extraction.text_value, json_extraction.scalar, True),
    "json_extract_scalar": ("VARCHAR", json_extraction.text_value, json_extraction.scalar, False),
    "json_query_array": ("VARCHAR[]", json_extraction.text_query_array, json_extraction.query_array, True),
    "json_extract_array": ("VARCHAR[]", json_extraction.text_query_array, json_extraction.query_array, False),
    "json_value_array": ("VARCHAR[]", json_extraction.text_value_array, json_extraction.scalar_array, True),
    "json_extract_string_array": ("VARCHAR[]", json_extraction.text_value_array, json_extraction.scalar_array, False),
}
_PAIRS = ("VARCHAR", "VARCHAR[]", "VARCHAR[]", "BOOLEAN[]", "BOOLEAN")
_CONVERSIONS: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "bool": ("BOOLEAN", json_conversion.to_bool, json_conversion.lax_bool),
    "int64": ("BIGINT", json_conversion.to_int64, json_conversion.lax_int64),
    "float64": ("VARCHAR", json_conversion.to_float64, json_conversion.lax_float64),
    "string": ("VARCHAR", json_conversion.to_string, json_conversion.lax_string),
}


def _of_value(convert: Callable[..., Any]) -> Callable[..., Any]:
    return lambda text, *others: convert(json_strict_parser.value_of(text), *others)


def _python_functions() -> list[PythonFunction]:
    two = ("VARCHAR", "VARCHAR")
    entries = [
        PythonFunction("json_member", two, "VARCHAR", json_extraction.member),
        PythonFunction("json_element", ("VARCHAR", "BIGINT"), "VARCHAR", json_extraction.element),
        PythonFunction("parse_json", two, "VARCHAR", json_strict_parser.parsed),
        PythonFunction("json_type", ("VARCHAR",), "VARCHAR", json_extraction.type_name),
        PythonFunction("json_flatten", ("VARCHAR",), "VARCHAR[]", json_extraction.flattened),
        PythonFunction("json_text", ("VARCHAR",), "VARCHAR", _of_value(json_printer.text_of)),
        PythonFunction("json_pretty", ("VARCHAR",), "VARCHAR", json_printer.pretty),
        PythonFunction("json_quoted", ("VARCHAR",), "VARCHAR", json_printer.quoted),
        PythonFunction("json_numeric", ("VARCHAR", "BOOLEAN"), "VARCHAR", json_printer.of_numeric),
        PythonFunction("json_double", ("DOUBLE",), "VARCHAR", float_texts.of_json),
        PythonFunction("round_trip", ("DOUBLE",), "VARCHAR", float_texts.round_trip),
        PythonFunction("json_object", ("VARCHAR[]", "VARCHAR[]"), "VARCHAR", json_changes.of_members, True),
        PythonFunction("json_keys", ("VARCHAR", "BIGINT", "VARCHAR"), "VARCHAR[]", json_extraction.keys, True),
        PythonFunction("json_remove", ("VARCHAR", "VARCHAR[]"), "VARCHAR", json_changes.without),
        PythonFunction(
            "json_set", ("VARCHAR", "VARCHAR[]", "VARCHAR[]", "BOOLEAN"), "VARCHAR", json_changes.with_values, True
        ),
        PythonFunction("json_array_append", _PAIRS, "VARCHAR", json_changes.appended, True),
        PythonFunction("json_array_insert", _PAIRS, "VARCHAR", json_changes.inserted, True),
        PythonFunction("json_interval", ("BIGINT", "BIGINT", "BIGINT"), "VARCHAR", json_printer.of_interval),
        PythonFunction("json_strip_nulls", (*two, "BOOLEAN", "BOOLEAN"), "VARCHAR", json_changes.stripped, True),
        PythonFunction("json_to_float64", two, "DOUBLE", _of_value(json_conversion.to_float64)),
    ]
    for name, (gives, of_text, of_json, standard) in _SEARCHES.items():
        entries.append(PythonFunction(f"text_{name}", two, gives, partial(of_text, standard=standard)))
        entries.append(PythonFunction(name, two, gives, partial(of_json, standard=standard)))
    for name, (gives, strict, lax) in _CONVERSIONS.items():
        if name != "float64":
            entries.append(PythonFunction(f"json_to_{name}", ("VARCHAR",), gives, _of_value(strict)))
            array = json_conversion.of_array(strict, name)
            entries.append(PythonFunction(f"json_to_{name}_array", ("VARCHAR",), f"{gives}[]", array))
        entries.append(PythonFunction(f"json_lax_{name}", ("VARCHAR",), gives, _of_value(lax)))
        entries.append(
            PythonFunction(f"json_lax_{name}_array", ("VARCHAR",), f"{gives}[]", json_conversion.lax_of_array(lax))
        )
    return entries


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register what entries call of Python, for this connection alone."""
    install(connection, _python_functions())


def add_entries(entries: Entries) -> None:
    for name in _SEARCHES:
        entries.add(name, "STRING STRING", _search)
        entries.add(name, "JSON STRING", _search)
    for name in _CONVERSIONS:
        if name != "float64":
            entries.add(name, "JSON", f"python_json_to_{name}({{0}})")
            entries.add(f"{name}_array", "JSON", f"python_json_to_{name}_array({{0}})")
        # A NaN that Python gives is NULL to DuckDB, so a FLOAT64 comes as a text.
        of_text = "CAST({} AS DOUBLE{})" if name == "float64" else "{}"
        entries.add(f"lax_{name}", "JSON", of_text.format(f"python_json_lax_{name}({{0}})", ""))
        entries.add(f"lax_{name}_array", "JSON", of_text.format(f"python_json_lax_{name}_array({{0}})", "[]"))
    entries.add("float64", "JSON STRING", _float64)
    entries.add("$subscript", "JSON STRING", "CAST(python_json_member({0}, {1}) AS JSON)")
    entries.add("$subscript", "JSON INT64", "CAST(python_json_element({0}, {1}) AS JSON)")
    entries.add("parse_json", "STRING STRING", _parse)
    entries.add("json_type", "JSON", "python_json_type({0})")
    entries.add("json_flatten", "JSON", "CAST(python_json_flatten({0}) AS JSON[])")
    entries.add("to_json_string", "ANY", lambda call: written(call.arguments[0]))
    entries.add("to_json_string", "ANY BOOL", _pretty)
    entries.add("to_json", "ANY BOOL", _to_json)
    entries.add("json_array", "ANY ...", _array)
    entries.add("json_array", "", _array)
    entries.add("json_object", "ANY ...", _object)
    entries.add("json_object", "", _object)
    entries.add("json_keys", "JSON INT64 STRING", _keys)
    entries.add("json_remove", "JSON STRING ...", _remove)
    entries.add("json_set", "JSON STRING ANY ...", _set)
    entries.add("json_array_append", "JSON STRING ANY ...", _changed_array)
    entries.add("json_array_insert", "JSON STRING ANY ...", _changed_array)
    entries.add("json_strip_nulls", "JSON STRING BOOL BOOL", _strip_nulls)


def json_field(json: str, name: str) -> str:
    """The field of a JSON value that `json.name` means."""
    return f"CAST(python_json_member({json}, {text(name)}) AS JSON)"


def _search(call: Call) -> str:
    of, path = call.arguments
    standard = _SEARCHES[call.name][3]
    if path.is_literal and path.value is not None:
        _checked(path.value, lambda path_text: json_paths.steps(path_text, standard=standard))
    elif not path.is_literal and call.name == "json_query" and of.kind == "JSON":
        raise Unsupported("JSON_QUERY of a JSON value with a path that is not a literal has no form on the embedded"
                          " engine", "write the path as a literal")  # fmt: skip
    call_sql = f"python_{'text_' if of.kind == 'STRING' else ''}{call.name}({of.sql}, {path.sql})"
    if of.kind == "STRING" or kind_of(call.type) == "STRING":
        return call_sql
    if kind_of(call.type) == "JSON":
        return f"CAST({call_sql} AS JSON)"
    return f"CAST({call_sql} AS JSON[])" if kind_of(element_of(call.type)) == "JSON" else call_sql


def _checked(path: str, read: Callable[[str], Any]) -> None:
    try:
        read(path)
    except ValueError as error:
        raise Unsupported(str(error), "correct the path") from None


def _mode(call: Call, at: int) -> None:
    mode = call.arguments[at]
    if mode.is_literal and mode.value not in ("exact", "round", None):
        raise Unsupported(f"Invalid `wide_number_mode` specified: {mode.value}", "write 'exact' or 'round'")


def _float64(call: Call) -> str:
    _mode(call, 1)
    return f"python_json_to_float64({call.arguments[0].sql}, {call.arguments[1].sql})"


def _parse(call: Call) -> str:
    _mode(call, 1)
    return f"CAST(python_parse_json({call.arguments[0].sql}, {call.arguments[1].sql}) AS JSON)"


def _pretty(call: Call) -> str:
    of, pretty = call.arguments
    if pretty.is_literal and not pretty.value:
        return "CAST(NULL AS VARCHAR)" if pretty.value is None else written(of)
    lines = f"python_json_pretty({written(of)})"
    return lines if pretty.is_literal else f"CASE {pretty.sql} WHEN true THEN {lines} WHEN false THEN {written(of)} END"


def written(of: Argument) -> str:
    """The text of TO_JSON_STRING, never NULL."""
    return _written(of.sql, of.type, _leaf_text, ordered=False)


def _written(sql: str, kind: Any, leaf: Callable[[str, Any], str], *, ordered: bool) -> str:
    """The JSON text of a value; `ordered` as a JSON value has its members, each once and by name."""
    match kind_of(kind):
        case "ARRAY":
            name = f"e{len(re.findall(r'lambda e', sql))}_{_depth(kind)}"
            inner = _written(name, element_of(kind), leaf, ordered=ordered)
            elements = f"array_to_string(list_transform({sql}, lambda {name}: {inner}), ',')"
            return f"CASE WHEN {sql} IS NULL THEN 'null' ELSE '[' || {elements} || ']' END"
        case "STRUCT":
            shown = [f.field_name for f in kind.struct_type.field]
            fields = list(zip(shown, fields_of(kind), strict=True))
            if ordered:
                first: dict[str, Any] = {}
                for name, field in fields:
                    first.setdefault(name, field)
                fields = sorted(first.items())
            parts = [
                f"{text(json_printer.escaped(name) + ':')} || "
                + _written(f"({sql}).{quoted(column)}", of, leaf, ordered=ordered)
                for name, (column, of) in fields
            ]
            body = " || ',' || ".join(parts)
            return f"CASE WHEN {sql} IS NULL THEN 'null' ELSE '{{' || {body} || '}}' END"
    return leaf(sql, kind)


def _depth(kind: Any) -> int:
    match kind_of(kind):
        case "ARRAY":
            return 1 + _depth(element_of(kind))
        case "STRUCT":
            return 1 + max((_depth(of) for _, of in fields_of(kind)), default=0)
    return 0


def _quoted_unless_null(sql: str, content: str) -> str:
    return f"CASE WHEN {sql} IS NULL THEN 'null' ELSE '\"' || {content} || '\"' END"


def _leaf_text(sql: str, kind: Any) -> str:
    match kind_of(kind):
        case "STRING":
            return f"bq_to_json_string({sql})"
        case "INT64":
            return f"bq_json_number(CAST({sql} AS VARCHAR))"
        case "FLOAT64":
            return (
                f"CASE WHEN {sql} IS NULL THEN 'null' WHEN isfinite({sql}) THEN python_round_trip({sql})"
                f" ELSE {_not_finite(sql)} END"
            )
        case "NUMERIC":
            return f"bq_json_number(bq_string_numeric({sql}))"
        case "BIGNUMERIC":
            return f"bq_json_number(bignumeric_text({sql}))"
        case "JSON":
            return f"coalesce(python_json_text({sql}), 'null')"
    return _leaf(sql, kind)


def _not_finite(sql: str) -> str:
    return f"CASE WHEN isnan({sql}) THEN '\"NaN\"' WHEN {sql} > 0 THEN '\"Infinity\"' ELSE '\"-Infinity\"' END"


def _leaf(sql: str, kind: Any) -> str:
    """What TO_JSON_STRING and TO_JSON write alike."""
    match kind_of(kind):
        case "BOOL":
            return f"coalesce(CAST({sql} AS VARCHAR), 'null')"
        case "BYTES":
            return _quoted_unless_null(sql, f"to_base64({sql})")
        case "DATE":
            return _quoted_unless_null(sql, f"CAST({sql} AS VARCHAR)")
        case "DATETIME":
            return _quoted_unless_null(sql, f"{_T.format(sql)} || {_FRACTION.format(sql)}")
        case "TIMESTAMP":
            local = f"CAST({sql} AS TIMESTAMP)"
            return _quoted_unless_null(sql, f"{_T.format(local)} || {_FRACTION.format(local)} || 'Z'")
        case "INTERVAL":
            months = f"CAST(12 * date_part('year', {sql}) + date_part('month', {sql}) AS BIGINT)"
            micros = (
                f"CAST(3600000000 * date_part('hour', {sql}) + 60000000 * date_part('minute', {sql})"
                f" + date_part('microsecond', {sql}) AS BIGINT)"
            )
            days = f"CAST(date_part('day', {sql}) AS BIGINT)"
            return _quoted_unless_null(sql, f"python_json_interval({months}, {days}, {micros})")
        case "TIME":
            moment = f"(DATE '2000-01-01' + {sql})"
            return _quoted_unless_null(sql, f"strftime({moment}, '%H:%M:%S') || {_FRACTION.format(moment)}")
    raise Unsupported(f"{spelled(kind)} as JSON has no form on the embedded engine", "CAST it to STRING")


def value_text(of: Argument, *, wide_as_text: bool = False) -> str:
    """The text of TO_JSON, never NULL."""

    def leaf(sql: str, kind: Any) -> str:
        match kind_of(kind):
            case "STRING":
                # In a JSON value the two separators are not escaped.
                return (
                    f"CASE WHEN contains({sql}, chr(8232)) OR contains({sql}, chr(8233)) THEN"
                    f" python_json_quoted({sql}) ELSE bq_to_json_string({sql}) END"
                )
            case "INT64":
                if wide_as_text:
                    return f"bq_json_number(CAST({sql} AS VARCHAR))"
                return f"coalesce(CAST({sql} AS VARCHAR), 'null')"
            case "FLOAT64":
                return (
                    f"CASE WHEN {sql} IS NULL THEN 'null' WHEN {sql} = 0 THEN '0.0' WHEN isfinite({sql})"
                    f" THEN python_json_double({sql}) ELSE {_not_finite(sql)} END"
                )
            case "NUMERIC":
                return _numeric(f"bq_string_numeric({sql})", wide_as_text)
            case "BIGNUMERIC":
                return _numeric(f"bignumeric_text({sql})", wide_as_text)
            case "JSON":
                return f"coalesce(python_json_text({sql}), 'null')"
        return _leaf(sql, kind)

    return _written(of.sql, of.type, leaf, ordered=True)


def _numeric(sql: str, wide_as_text: bool) -> str:
    return f"coalesce(python_json_numeric({sql}, {'true' if wide_as_text else 'false'}), 'null')"


def _to_json(call: Call) -> str:
    wide = call.literal(1, "stringify_wide_numbers")
    if wide is None:
        return "CAST(NULL AS JSON)"
    return f"CAST({value_text(call.arguments[0], wide_as_text=wide)} AS JSON)"


def _array(call: Call) -> str:
    elements = " || ',' || ".join(value_text(a) for a in call.arguments) or "''"
    return f"CAST('[' || {elements} || ']' AS JSON)"


def _object(call: Call) -> str:
    arguments = call.arguments
    if not arguments:
        return "CAST('{}' AS JSON)"
    if arguments[0].kind == "ARRAY":
        names, values = arguments
        inner = value_text(Argument("e", element_of(values.type)))
        return f"CAST(python_json_object({names.sql}, list_transform({values.sql}, lambda e: {inner})) AS JSON)"
    names_sql = ", ".join(a.sql for a in arguments[::2])
    values_sql = ", ".join(value_text(a) for a in arguments[1::2])
    return f"CAST(python_json_object([{names_sql}], [{values_sql}]) AS JSON)"


def _keys(call: Call) -> str:
    of, depth, mode = call.arguments
    return f"python_json_keys({of.sql}, {depth.sql}, {mode.sql})"


def _remove(call: Call) -> str:
    of, *paths = call.arguments
    _strict(paths)
    return f"CAST(python_json_remove({of.sql}, [{', '.join(p.sql for p in paths)}]) AS JSON)"


def _strict(paths: list[Argument]) -> None:
    for path in paths:
        if path.is_literal and path.value is not None:
            _checked(path.value, json_paths.strict_steps)


def _set(call: Call) -> str:
    of, *pairs, create = call.arguments
    paths, values = pairs[::2], pairs[1::2]
    _strict(paths)
    sql = ", ".join(p.sql for p in paths)
    new = ", ".join(value_text(v) for v in values)
    return f"CAST(python_json_set({of.sql}, [{sql}], [{new}], {create.sql}) AS JSON)"


def _changed_array(call: Call) -> str:
    of, *pairs, each = call.arguments
    paths, values = pairs[::2], pairs[1::2]
    _strict(paths)
    sql = ", ".join(p.sql for p in paths)
    new = ", ".join(value_text(v) for v in values)
    arrays = ", ".join("true" if v.kind == "ARRAY" else "false" for v in values)
    return f"CAST(python_{call.name}({of.sql}, [{sql}], [{new}], [{arrays}], {each.sql}) AS JSON)"


def _strip_nulls(call: Call) -> str:
    of, path, arrays, empty = call.arguments
    _strict([path])
    return f"CAST(python_json_strip_nulls({of.sql}, {path.sql}, {arrays.sql}, {empty.sql}) AS JSON)"
