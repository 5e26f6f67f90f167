"""Functions of STRING and BYTES."""

import re
from typing import TYPE_CHECKING

from convergence_assets.warehouse.duckdb.functions import _SPACES
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.refusing import refused as _refused

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Full case mapping changes the length of a text: https://www.unicode.org/Public/UNIDATA/SpecialCasing.txt.
_SPECIAL = "[ßŉǰΐΰևẖ-ẚᾀ-ᾯᾲ-ᾴᾶᾷᾼῂ-ῄῆῇῌῒΐῖῗῢ-ῤῦῧῲ-ῴῶῷῼﬀ-ﬆﬓ-ﬗ]"
MACROS = (
    f"bq_upper(a) AS CASE WHEN regexp_matches(a, '{_SPECIAL}') THEN python_upper(a) ELSE upper(a) END",
    "bq_reverse(a) AS CASE WHEN a IS NULL THEN NULL ELSE array_to_string(list_reverse(regexp_extract_all(a, '(?s).')), '') END",
    "bq_ascii(a) AS CASE WHEN a = '' THEN 0 WHEN ascii(a) < 128 THEN CAST(ascii(a) AS BIGINT)"
    f" WHEN a IS NULL THEN NULL ELSE {_refused('Non-ASCII character', 'a', 'BIGINT')} END",
    "bq_unicode(a) AS CASE WHEN a = '' THEN 0 ELSE CAST(unicode(a) AS BIGINT) END",
    "bq_from_hex(a) AS CASE WHEN regexp_full_match(a, '[0-9a-fA-F]*') THEN unhex(CASE WHEN length(a) % 2 = 1 THEN '0' || a ELSE a END)"
    f" WHEN a IS NULL THEN NULL ELSE unhex({_refused('Failed to decode invalid hexadecimal string', 'a', 'INTEGER')}::VARCHAR) END",
    f"bq_length_of(n) AS CASE WHEN n < 0 THEN {_refused('a length must not be negative', 'CAST(n AS VARCHAR)', 'BIGINT')} ELSE n END",
    "bq_left(a, n) AS left(a, bq_length_of(n))",
    "bq_right(a, n) AS right(a, bq_length_of(n))",
    "bq_repeat(a, n) AS repeat(a, bq_length_of(n))",
    f"bq_lpad(a, n, p) AS CASE WHEN p = '' THEN {_refused('a pattern must not be empty', 'a', 'BIGINT')}::VARCHAR WHEN bq_length_of(n) <= length(a) THEN left(a, n) ELSE lpad(a, CAST(n AS INTEGER), p) END",
    f"bq_rpad(a, n, p) AS CASE WHEN p = '' THEN {_refused('a pattern must not be empty', 'a', 'BIGINT')}::VARCHAR WHEN bq_length_of(n) <= length(a) THEN left(a, n) ELSE rpad(a, CAST(n AS INTEGER), p) END",
    "bq_split(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN a = '' THEN [''] WHEN b = '' THEN regexp_extract_all(a, '(?s).') ELSE string_split(a, b) END",
    "bq_hex_from(p, n) AS CASE WHEN p = 0 THEN 1 WHEN p < -n THEN 1 WHEN p < 0 THEN 2 * (n + p) + 1 ELSE 2 * p - 1 END",
    "bq_part_of_bytes(a, p) AS unhex(substring(hex(a), CAST(bq_hex_from(p, octet_length(a)) AS BIGINT))),"
    " (a, p, n) AS unhex(substring(hex(a), CAST(bq_hex_from(p, octet_length(a)) AS BIGINT), CAST(2 * bq_length_of(n) AS BIGINT)))",
)


def add_entries(entries: Entries) -> None:
    entries.many("STRING", {
        "lower": "lower({0})", "upper": "bq_upper({0})", "reverse": "bq_reverse({0})", "length": "CAST(length({0}) AS BIGINT)",
        "char_length": "CAST(length({0}) AS BIGINT)", "character_length": "CAST(length({0}) AS BIGINT)",
        "byte_length": "CAST(strlen({0}) AS BIGINT)", "octet_length": "CAST(strlen({0}) AS BIGINT)",
        "md5": "unhex(md5({0}))", "sha1": "unhex(sha1({0}))", "sha256": "unhex(sha256({0}))",
        "from_hex": "bq_from_hex({0})", "to_base64": "to_base64(encode({0}))", "ascii": "bq_ascii({0})",
        "unicode": "bq_unicode({0})",
    })  # fmt: skip
    entries.many("BYTES", {
        "length": "CAST(octet_length({0}) AS BIGINT)", "byte_length": "CAST(octet_length({0}) AS BIGINT)",
        "octet_length": "CAST(octet_length({0}) AS BIGINT)", "to_hex": "lower(hex({0}))", "to_base64": "to_base64({0})",
        "md5": "unhex(md5({0}))", "sha1": "unhex(sha1({0}))", "sha256": "unhex(sha256({0}))",
    })  # fmt: skip
    entries.add("from_base64", "STRING", "from_base64({0})")
    entries.add("concat", "STRING ...", _joined)
    entries.add("$concat_op", "STRING STRING", _joined)
    entries.add("concat", "BYTES ...", _joined)
    entries.add("$concat_op", "BYTES BYTES", _joined)
    entries.add("$concat_op", "ARRAY ARRAY", "({0} || {1})")
    entries.add("substr", "STRING INT64", "bq_substr({0}, {1})")
    entries.add("substr", "STRING INT64 INT64", "bq_substr({0}, {1}, {2})")
    entries.add("substr", "BYTES INT64", _part_of_bytes)
    entries.add("substr", "BYTES INT64 INT64", _part_of_bytes)
    entries.add("substring", "STRING INT64", "bq_substr({0}, {1})")
    entries.add("substring", "STRING INT64 INT64", "bq_substr({0}, {1}, {2})")
    entries.add("left", "STRING INT64", "bq_left({0}, {1})")
    entries.add("right", "STRING INT64", "bq_right({0}, {1})")
    entries.add("starts_with", "STRING STRING", "starts_with({0}, {1})")
    entries.add("ends_with", "STRING STRING", "ends_with({0}, {1})")
    entries.add("strpos", "STRING STRING", "CAST(strpos({0}, {1}) AS BIGINT)")
    entries.add("replace", "STRING STRING STRING", "CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, {2}) END")
    entries.add("repeat", "STRING INT64", "bq_repeat({0}, {1})")
    for name, function in (("trim", "trim"), ("ltrim", "ltrim"), ("rtrim", "rtrim")):
        entries.add(name, "STRING", f"{function}({{0}}, {text(_SPACES)})")
        entries.add(name, "STRING STRING", f"{function}({{0}}, {{1}})")
    for name in ("lpad", "rpad"):
        entries.add(name, "STRING INT64", f"bq_{name}({{0}}, {{1}}, ' ')")
        entries.add(name, "STRING INT64 STRING", f"bq_{name}({{0}}, {{1}}, {{2}})")
    entries.add("split", "STRING", "bq_split({0}, ',')")
    entries.add("split", "STRING STRING", "bq_split({0}, {1})")
    entries.add("$like", "STRING STRING", _like)
    entries.add("regexp_contains", "STRING STRING", _contains)
    entries.add("regexp_extract", "STRING STRING", _extract)
    entries.add("regexp_replace", "STRING STRING STRING", _replace)
    entries.add("to_hex", "STRING", "lower(hex({0}))")


def _joined(call: Call) -> str:
    return f"({' || '.join(a.sql for a in call.arguments)})"


def _part_of_bytes(call: Call) -> str:
    # DuckDB cuts no BLOB: two hexadecimal digits a byte are a text that can be cut.
    value, first, *length = (a.sql for a in call.arguments)
    count = f", {length[0]}" if length else ""
    return f"bq_part_of_bytes({value}, {first}{count})"


def _like(call: Call) -> str:
    value, pattern = call.arguments
    if not pattern.is_literal:
        raise Unsupported("LIKE with a pattern that is not a literal has no form on the embedded engine",
                          "write STARTS_WITH, ENDS_WITH or REGEXP_CONTAINS")  # fmt: skip
    if pattern.value is not None and re.search(r"(?<!\\)(?:\\\\)*\\$", pattern.value):
        raise Unsupported("LIKE pattern ends with a backslash", "write the backslash twice")
    return f"({value.sql} LIKE {pattern.sql} ESCAPE '\\')"


def _pattern(call: Call, at: int) -> Argument:
    """A regular expression that is written out and that RE2 reads."""
    import re2

    pattern = call.arguments[at]
    if not pattern.is_literal:
        raise Unsupported(f"{call.name.upper()} with a pattern that is not a literal has no form on the embedded engine",
                          "write the pattern as a literal")  # fmt: skip
    if pattern.value is not None:
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(pattern.value, options)
        except re2.error as error:
            said = error.args[0] if error.args else error
            said = said.decode() if isinstance(said, bytes) else said
            raise Unsupported(f"Cannot parse regular expression: {said}", "correct the pattern") from None
    return pattern


def _contains(call: Call) -> str:
    pattern = _pattern(call, 1)
    return f"regexp_matches({call.arguments[0].sql}, {pattern.sql})"


def _extract(call: Call) -> str:
    import re2

    pattern = _pattern(call, 1)
    value = call.arguments[0].sql
    if pattern.value is None:
        return "CAST(NULL AS VARCHAR)"
    groups = re2.compile(pattern.value).groups
    if groups > 1:
        raise Unsupported("Regular expression passed to REGEXP_EXTRACT must not have more than 1 capturing group",
                          "write (?:...) for the others")  # fmt: skip
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "", re.sub(r"\\.", "", pattern.value))
    if groups and (re.search(r"\)[?*{]", bare) or "|" in bare):
        raise Unsupported("a group that may take no part in the match does not answer alike",
                          "match it with REGEXP_CONTAINS first")  # fmt: skip
    return f"CASE WHEN regexp_matches({value}, {pattern.sql}) THEN regexp_extract({value}, {pattern.sql}, {groups}) END"


def _replace(call: Call) -> str:
    import re2

    pattern = _pattern(call, 1)
    replacement = call.literal(2, "a replacement")
    if pattern.value is not None and replacement is not None:
        groups = re2.compile(pattern.value).groups
        for escaped in re.findall(r"\\(.?)", replacement, re.DOTALL):
            if not (escaped.isdigit() or escaped == "\\"):
                raise Unsupported("Invalid REGEXP_REPLACE pattern: a backslash is followed by a digit or a backslash",
                                  "write \\\\ for a backslash")  # fmt: skip
            if escaped.isdigit() and int(escaped) > groups:
                raise Unsupported(
                    f"Invalid REGEXP_REPLACE replacement: there is no group {escaped}", "use a group that there is"
                )
    return f"regexp_replace({call.arguments[0].sql}, {pattern.sql}, {call.arguments[2].sql}, 'g')"


def _upper(texts: "pa.ChunkedArray") -> "pa.Array":
    import pyarrow as pa

    return pa.array([None if text is None else text.upper() for text in texts.to_pylist()], pa.string())


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register what macros call of Python, for this connection alone."""
    from duckdb.func import FunctionNullHandling, PythonUDFType

    connection.create_function(
        "python_upper", lambda texts: _upper(texts), ["VARCHAR"], "VARCHAR",
        type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL,
    )  # fmt: skip
