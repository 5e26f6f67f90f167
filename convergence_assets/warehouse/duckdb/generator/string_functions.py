"""Functions of STRING and BYTES."""

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.duckdb.functions import SPACES
from convergence_assets.warehouse.duckdb.generator import (
    encodings,
    formats,
    hashes,
    regular_expressions,
    string_functions_in_python,
)
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction, install
from convergence_assets.warehouse.duckdb.generator.raising import refused as _refused

if TYPE_CHECKING:
    import duckdb

# Full case mapping changes the length of a text: https://www.unicode.org/Public/UNIDATA/SpecialCasing.txt.
_SPECIAL = "[ßŉǰΐΰևẖ-ẚᾀ-ᾯᾲ-ᾴᾶᾷᾼῂ-ῄῆῇῌῒΐῖῗῢ-ῤῦῧῲ-ῴῶῷῼﬀ-ﬆﬓ-ﬗ]"
_ONE = "CAST(1 AS BIGINT)"
_ALL = 1 << 62
# Beyond every text, and within what DuckDB takes for a place or a length.
_FAR = (1 << 31) - 1
MACROS = (
    f"bq_upper(a) AS CASE WHEN regexp_matches(a, '{_SPECIAL}') THEN python_upper(a) ELSE upper(a) END",
    "bq_reverse(a) AS CASE WHEN a IS NULL THEN NULL ELSE array_to_string(list_reverse(regexp_extract_all(a, '(?s).')), '') END",
    "bq_ascii(a) AS CASE WHEN a = '' THEN 0 WHEN ascii(a) < 128 THEN CAST(ascii(a) AS BIGINT)"
    f" WHEN a IS NULL THEN NULL ELSE {_refused('Non-ASCII character', 'a', 'BIGINT')} END",
    "bq_unicode(a) AS CASE WHEN a = '' THEN 0 ELSE CAST(unicode(a) AS BIGINT) END",
    "bq_from_hex(a) AS CASE WHEN regexp_full_match(a, '[0-9a-fA-F]*') THEN unhex(CASE WHEN length(a) % 2 = 1 THEN '0' || a ELSE a END)"
    f" WHEN a IS NULL THEN NULL ELSE unhex({_refused('Failed to decode invalid hexadecimal string', 'a', 'INTEGER')}::VARCHAR) END",
    f"bq_length_of(n) AS CASE WHEN n < 0 THEN {_refused('a length must not be negative', 'CAST(n AS VARCHAR)', 'BIGINT')}"
    f" WHEN n > {_FAR} THEN CAST({_FAR} AS BIGINT) ELSE n END",
    f"bq_place_of(a, p) AS CASE WHEN p = 0 OR p < -length(a) THEN 1 WHEN p > {_FAR} THEN {_FAR} ELSE p END",
    "bq_left(a, n) AS CASE WHEN a IS NOT NULL THEN left(a, bq_length_of(n)) END",
    "bq_right(a, n) AS CASE WHEN a IS NOT NULL THEN right(a, bq_length_of(n)) END",
    "bq_part(a, p, n) AS CASE WHEN a IS NOT NULL AND p IS NOT NULL THEN substring(a, bq_place_of(a, p), bq_length_of(n)) END",
    "bq_split(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN a = '' THEN [''] WHEN b = '' THEN regexp_extract_all(a, '(?s).') ELSE string_split(a, b) END",
    "bq_lower(a) AS CASE WHEN regexp_matches(a, '[Σİ]') THEN python_lower(a) ELSE lower(a) END",
)


# By function: the types that it takes beside a STRING or BYTES first, T for that type again, and what it gives.
_OF_BOTH: dict[str, tuple[str, str, Callable[..., Any]]] = {
    "repeat": ("BIGINT", "T", string_functions_in_python.repeated),
    "lpad": ("BIGINT T", "T", string_functions_in_python.padded_left),
    "rpad": ("BIGINT T", "T", string_functions_in_python.padded_right),
    "part": ("BIGINT BIGINT", "T", string_functions_in_python.part),
    "left": ("BIGINT", "T", string_functions_in_python.left),
    "right": ("BIGINT", "T", string_functions_in_python.right),
    "instr": ("T BIGINT BIGINT", "BIGINT", string_functions_in_python.place),
    "replace": ("T T", "T", string_functions_in_python.replaced_all),
    "split": ("T", "T[]", string_functions_in_python.split),
    "translate": ("T T", "T", string_functions_in_python.translated),
    "to_code_points": ("", "BIGINT[]", encodings.codes_of),
    "sha512": ("", "BLOB", hashes.sha512),
    "farm_fingerprint": ("", "BIGINT", hashes.fingerprint),
    "is_like": ("T", "BOOLEAN", regular_expressions.is_like),
    "regexp_contains": ("T", "BOOLEAN", regular_expressions.matches),
    "regexp_extract": ("T BIGINT BIGINT", "T", regular_expressions.extract),
    "regexp_extract_all": ("T", "T[]", regular_expressions.extract_all),
    "regexp_instr": ("T BIGINT BIGINT BIGINT", "BIGINT", regular_expressions.instr),
    "regexp_replace": ("T T", "T", regular_expressions.replaced),
}


def _python_functions() -> list[PythonFunction]:
    one = ("VARCHAR",)
    functions = [
        PythonFunction("upper", one, "VARCHAR", str.upper),
        PythonFunction("lower", one, "VARCHAR", str.lower),
        PythonFunction("double_of_text", one, "VARCHAR", encodings.double_of_text),
        PythonFunction("int64_of_hex", one, "VARCHAR", encodings.int64_of_hex),
        PythonFunction("initcap", one, "VARCHAR", string_functions_in_python.capitalised),
        PythonFunction("initcap_after", ("VARCHAR", "VARCHAR"), "VARCHAR", string_functions_in_python.capitalised),
        PythonFunction("soundex", one, "VARCHAR", string_functions_in_python.soundex),
        PythonFunction("code_points_to_string", ("BIGINT[]",), "VARCHAR", encodings.text_of_codes),
        PythonFunction("code_points_to_bytes", ("BIGINT[]",), "BLOB", encodings.bytes_of_codes),
        PythonFunction("chr", ("BIGINT",), "VARCHAR", encodings.character),
        PythonFunction("normalize", ("VARCHAR", "VARCHAR"), "VARCHAR", encodings.normalised),
        PythonFunction("casefold", ("VARCHAR", "VARCHAR"), "VARCHAR", encodings.normalised_and_folded),
        PythonFunction("text_of_bytes", ("BLOB",), "VARCHAR", encodings.text_of_bytes),
        PythonFunction("strict_text", ("BLOB",), "VARCHAR", encodings.strict_text),
        PythonFunction("to_base32", ("BLOB",), "VARCHAR", encodings.to_base32),
        PythonFunction("from_base32", one, "BLOB", encodings.from_base32),
        PythonFunction("from_base64", one, "BLOB", encodings.from_base64),
        PythonFunction("bytes_lower", ("BLOB",), "BLOB", bytes.lower),
        PythonFunction("bytes_upper", ("BLOB",), "BLOB", bytes.upper),
        PythonFunction("bytes_reverse", ("BLOB",), "BLOB", lambda value: value[::-1]),
        PythonFunction("bytes_trim", ("BLOB", "BLOB"), "BLOB", bytes.strip),
        PythonFunction("bytes_ltrim", ("BLOB", "BLOB"), "BLOB", bytes.lstrip),
        PythonFunction("bytes_rtrim", ("BLOB", "BLOB"), "BLOB", bytes.rstrip),
        PythonFunction("bytes_starts_with", ("BLOB", "BLOB"), "BOOLEAN", bytes.startswith),
        PythonFunction("bytes_ends_with", ("BLOB", "BLOB"), "BOOLEAN", bytes.endswith),
    ]
    for kind in ("VARCHAR", "BLOB"):
        short = "text" if kind == "VARCHAR" else "bytes"
        for name, (others, gives, work) in _OF_BOTH.items():
            takes = (kind, *(other.replace("T", kind) if other == "T" else other for other in others.split()))
            functions.append(
                PythonFunction(f"{short}_{name}", takes, kind + gives[1:] if gives[0] == "T" else gives, work)
            )
        takes = (kind, f"{kind}[]", "VARCHAR", "BOOLEAN")
        functions.append(PythonFunction(f"{short}_is_like_of", takes, "BOOLEAN", regular_expressions.is_like_of, True))
        functions.append(
            PythonFunction(
                f"{short}_edit_distance", (kind, kind, "BIGINT"), "BIGINT",
                string_functions_in_python.edit_distance_within,
                takes_nulls=True,
            )
        )  # fmt: skip
    return functions


def install_functions(connection: "duckdb.DuckDBPyConnection") -> None:
    """Register what entries and macros call of Python, for this connection alone."""
    install(connection, [*_python_functions(), *formats.python_functions()])


def add_entries(entries: Entries) -> None:
    formats.add_entries(entries)
    entries.many("STRING", {
        "lower": "bq_lower({0})", "upper": "bq_upper({0})", "reverse": "bq_reverse({0})", "length": "CAST(length({0}) AS BIGINT)",
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
    for name in ("initcap", "soundex", "from_base64", "from_base32"):
        entries.add(name, "STRING", f"python_{name}({{0}})")
    entries.add("initcap", "STRING STRING", "python_initcap_after({0}, {1})")
    entries.add("to_base32", "BYTES", "python_to_base32({0})")
    entries.add("safe_convert_bytes_to_string", "BYTES", "python_text_of_bytes({0})")
    entries.add("chr", "INT64", "python_chr({0})")
    entries.add("code_points_to_string", "ARRAY", "python_code_points_to_string({0})")
    entries.add("code_points_to_bytes", "ARRAY", "python_code_points_to_bytes({0})")
    for name, function in (("normalize", "normalize"), ("normalize_and_casefold", "casefold")):
        entries.add(name, "STRING", f"python_{function}({{0}}, 'NFC')")
        entries.add(name, "STRING ENUM", _normalised)
    for kind, short in (("STRING", "text"), ("BYTES", "bytes")):
        for name in ("to_code_points", "sha512", "farm_fingerprint"):
            entries.add(name, kind, f"python_{short}_{name}({{0}})")
        entries.add("repeat", f"{kind} INT64", f"python_{short}_repeat({{0}}, {{1}})")
        entries.add("translate", f"{kind} {kind} {kind}", f"python_{short}_translate({{0}}, {{1}}, {{2}})")
        for name in ("lpad", "rpad"):
            blank = "' '" if kind == "STRING" else "from_hex('20')"
            entries.add(name, f"{kind} INT64", f"python_{short}_{name}({{0}}, {{1}}, {blank})")
            entries.add(name, f"{kind} INT64 {kind}", f"python_{short}_{name}({{0}}, {{1}}, {{2}})")
        for places in ("", " INT64", " INT64 INT64"):
            entries.add("regexp_extract", f"{kind} {kind}{places}", _extract)
            entries.add("regexp_instr", f"{kind} {kind}{places}", _regexp_instr)
            entries.add("instr", f"{kind} {kind}{places}", lambda call: _python(call, "instr", (1, 1)))
        entries.add("regexp_extract_all", f"{kind} {kind}", _extract_all)
        entries.add("regexp_instr", f"{kind} {kind} INT64 INT64 INT64", _regexp_instr)
        entries.add(
            "edit_distance", f"{kind} {kind}", f"python_{short}_edit_distance({{0}}, {{1}}, CAST(NULL AS BIGINT))"
        )
        entries.add("edit_distance", f"{kind} {kind} INT64", _edit_distance)
        entries.add("$like", f"{kind} {kind}", lambda call: _like(*call.arguments))
        for operator in ("or", "and"):
            word = "any" if operator == "or" else "all"
            over = f"python_{short}_is_like_of({{0}}, {{1}}, '{word}', "
            entries.add(f"$like_{word}_array", f"{kind} ARRAY", f"{over}false)")
            entries.add(f"$not_like_{word}_array", f"{kind} ARRAY", f"{over}true)")
            entries.add(f"$like_{word}", f"{kind} {kind} ...", partial(_likes, operator=operator, sign=""))
            entries.add(f"$not_like_{word}", f"{kind} {kind} ...", partial(_likes, operator=operator, sign="NOT "))
        entries.add("regexp_contains", f"{kind} {kind}", _contains)
        entries.add("regexp_replace", f"{kind} {kind} {kind}", _replace)
    for name in ("left", "right"):
        entries.add(name, "BYTES INT64", f"python_bytes_{name}({{0}}, {{1}})")
    for name in ("lower", "upper", "reverse"):
        entries.add(name, "BYTES", f"python_bytes_{name}({{0}})")
    for name in ("trim", "ltrim", "rtrim"):
        entries.add(name, "BYTES BYTES", f"python_bytes_{name}({{0}}, {{1}})")
    for name in ("starts_with", "ends_with"):
        entries.add(name, "BYTES BYTES", f"python_bytes_{name}({{0}}, {{1}})")
    entries.add("strpos", "BYTES BYTES", f"python_bytes_instr({{0}}, {{1}}, {_ONE}, {_ONE})")
    entries.add("replace", "BYTES BYTES BYTES", "python_bytes_replace({0}, {1}, {2})")
    entries.add("split", "BYTES BYTES", "python_bytes_split({0}, {1})")
    entries.add("concat", "STRING ...", _joined)
    entries.add("$concat_op", "STRING STRING", _joined)
    entries.add("concat", "BYTES ...", _joined)
    entries.add("$concat_op", "BYTES BYTES", _joined)
    entries.add("$concat_op", "ARRAY ARRAY", "({0} || {1})")
    entries.add("substr", "STRING INT64", "substring({0}, bq_place_of({0}, {1}))")
    entries.add("substr", "STRING INT64 INT64", "bq_part({0}, {1}, {2})")
    for name in ("substr", "substring"):
        entries.add(name, "BYTES INT64", f"python_bytes_part({{0}}, {{1}}, CAST({_ALL} AS BIGINT))")
        entries.add(name, "BYTES INT64 INT64", "python_bytes_part({0}, {1}, {2})")
    entries.add("substring", "STRING INT64", "substring({0}, bq_place_of({0}, {1}))")
    entries.add("substring", "STRING INT64 INT64", "bq_part({0}, {1}, {2})")
    entries.add("left", "STRING INT64", "bq_left({0}, {1})")
    entries.add("right", "STRING INT64", "bq_right({0}, {1})")
    entries.add("starts_with", "STRING STRING", "starts_with({0}, {1})")
    entries.add("ends_with", "STRING STRING", "ends_with({0}, {1})")
    entries.add("strpos", "STRING STRING", "CAST(strpos({0}, {1}) AS BIGINT)")
    entries.add(
        "replace",
        "STRING STRING STRING",
        "CASE WHEN {1} = '' AND {2} IS NOT NULL THEN {0} ELSE replace({0}, {1}, {2}) END",
    )
    for name, function in (("trim", "trim"), ("ltrim", "ltrim"), ("rtrim", "rtrim")):
        entries.add(name, "STRING", f"{function}({{0}}, {text(SPACES)})")
        entries.add(name, "STRING STRING", f"{function}({{0}}, {{1}})")
    entries.add("split", "STRING", "bq_split({0}, ',')")
    entries.add("split", "STRING STRING", "bq_split({0}, {1})")
    entries.add("to_hex", "STRING", "lower(hex({0}))")


def _joined(call: Call) -> str:
    return f"({' || '.join(a.sql for a in call.arguments)})"


def _normalised(call: Call) -> str:
    form = call.literal(1, "a normalization mode")
    function = "normalize" if call.name == "normalize" else "casefold"
    return f"python_{function}({call.arguments[0].sql}, '{form}')"


def _edit_distance(call: Call) -> str:
    largest = call.literal(2, "max_distance")
    if largest is None:
        return "CAST(NULL AS BIGINT)"
    if largest < 0:
        raise Unsupported("max_distance must be non-negative", "write 0 or more")
    one, other, _ = call.arguments
    return f"python_{_short(one)}_edit_distance({one.sql}, {other.sql}, CAST({largest} AS BIGINT))"


def _short(argument: Argument) -> str:
    return "text" if argument.kind == "STRING" else "bytes"


def _like(value: Argument, pattern: Argument) -> str:
    if pattern.is_literal and pattern.value is not None:
        backslash = "\\" if isinstance(pattern.value, str) else b"\\"
        trailing = len(pattern.value) - len(pattern.value.rstrip(backslash))
        if trailing % 2:
            raise Unsupported("LIKE pattern ends with a backslash", "write the backslash twice")
        if isinstance(pattern.value, str):
            return f"({value.sql} LIKE {pattern.sql} ESCAPE '\\')"
    return f"python_{_short(value)}_is_like({value.sql}, {pattern.sql})"


def _likes(call: Call, *, operator: str, sign: str) -> str:
    value, *patterns = call.arguments
    return f"({f' {operator.upper()} '.join(f'({sign}{_like(value, p)})' for p in patterns)})"


def _pattern(call: Call) -> Argument:
    """A regular expression; where it is written out, one that RE2 reads."""
    pattern = call.arguments[1]
    if pattern.is_literal and pattern.value is not None:
        try:
            regular_expressions.compiled(pattern.value)
        except ValueError as error:
            raise Unsupported(str(error), "correct the pattern") from None
    return pattern


def _python(call: Call, name: str, defaults: tuple[int, ...] = ()) -> str:
    """A call of a Python function; `defaults` are those of its last arguments."""
    operands = [a.sql for a in call.arguments]
    absent = [f"CAST({value} AS BIGINT)" for value in defaults[len(operands) - 2 :]]
    return f"python_{_short(call.arguments[0])}_{name}({', '.join(operands + absent)})"


def _plain(pattern: Argument) -> bool:
    """Whether DuckDB's own functions take it."""
    return pattern.is_literal and isinstance(pattern.value, str)


def _contains(call: Call) -> str:
    pattern = _pattern(call)
    if _plain(pattern):
        return f"regexp_matches({call.arguments[0].sql}, {pattern.sql})"
    return _python(call, "regexp_contains")


def _one_group(pattern: Argument) -> int | None:
    """How many groups a literal pattern has."""
    if not pattern.is_literal or pattern.value is None:
        return None
    groups: int = regular_expressions.compiled(pattern.value).groups
    if groups > 1:
        raise Unsupported("Regular expressions passed into extraction functions must not have more than 1 capturing"
                          " group", "write (?:...) for the others")  # fmt: skip
    return groups


def _extract(call: Call) -> str:
    pattern = _pattern(call)
    groups = _one_group(pattern)
    value, _, *place = call.arguments
    first = all(p.is_literal and p.value == 1 for p in place)
    if _plain(pattern) and first and groups is not None:
        # A group that takes no part is an empty text to DuckDB, and NULL to BigQuery.
        bare = re.sub(r"\[\^?\]?[^\]]*\]", "", re.sub(r"\\.", "", pattern.value))
        if not groups or not (re.search(r"\)[?*{]", bare) or "|" in bare):
            extracted = f"regexp_extract({value.sql}, {pattern.sql}, {groups})"
            return f"CASE WHEN regexp_matches({value.sql}, {pattern.sql}) THEN {extracted} END"
    return _python(call, "regexp_extract", (1, 1))


def _extract_all(call: Call) -> str:
    _one_group(_pattern(call))
    return _python(call, "regexp_extract_all")


def _regexp_instr(call: Call) -> str:
    _one_group(_pattern(call))
    return _python(call, "regexp_instr", (1, 1, 0))


def _replace(call: Call) -> str:
    pattern, replacement = _pattern(call), call.arguments[2]
    if replacement.is_literal and replacement.value is not None and pattern.is_literal and pattern.value is not None:
        try:
            regular_expressions.checked_replacement(pattern.value, replacement.value)
        except ValueError as error:
            raise Unsupported(str(error), "write \\\\ for a backslash, \\\\1 for a group") from None
        if _plain(pattern) and not _may_be_empty(pattern.value):
            return f"regexp_replace({call.arguments[0].sql}, {pattern.sql}, {replacement.sql}, 'g')"
    return _python(call, "regexp_replace")


def _may_be_empty(pattern: str) -> bool:
    """Whether a match may be of no characters, of which DuckDB replaces others than BigQuery does."""
    return "\\b" in pattern or "\\B" in pattern or regular_expressions.compiled(pattern).search(b"") is not None
