"""FORMAT: https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements and string_functions#format_string."""

import math
import re
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, NamedTuple

from convergence_assets.warehouse.duckdb.generator import float_texts
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, Entries
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.python_functions import PythonFunction
from convergence_assets.warehouse.duckdb.generator.types import element_of, fields_of
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

_SPECIFIER = re.compile(r"%([-+ #'0]*)(\*|[0-9]*)(?:\.(\*|[0-9]*))?(.)", re.DOTALL)
_WRITTEN = re.compile(r"%([-+ #'0]*)([0-9]*)(?:\.(-?[0-9]*))?(.)", re.DOTALL)
_LARGEST = 1 << 20
_MOST_DECIMALS = 1074


class _Specifier(NamedTuple):
    """`%[flags][width][.precision]letter` with its numbers; precision None where there is none."""

    flags: str
    width: int
    precision: int | None
    letter: str

    @property
    def grouped(self) -> bool:
        return "'" in self.flags


def _read(specifier: str) -> _Specifier:
    match = _WRITTEN.fullmatch(specifier)
    assert match is not None
    flags, width, precision, letter = match.groups()
    decimals = None if precision is None else int(precision or 0)
    if decimals is not None and decimals < 0:
        decimals = None
    if int(width or 0) > _LARGEST:
        raise ValueError("Output string too long while evaluating FORMAT")
    if decimals is not None and letter not in "gG" and decimals > (_MOST_DECIMALS if letter in "eEfF" else _LARGEST):
        raise ValueError("Precision value is too big")
    return _Specifier(flags, int(width or 0), decimals, letter)


def integer(specifier: str, value: int) -> str:
    """%d, %i, %o, %x and %X."""
    read = _read(specifier)
    digits = format(abs(value), {"i": "d"}.get(read.letter, read.letter))
    if not value and read.precision == 0 and read.letter in "di" and not read.grouped:
        digits = ""
    prefix = {"o": "0", "x": "0x", "X": "0X"}.get(read.letter, "") if "#" in read.flags else ""
    if read.letter != "d" and not value and "#" in read.flags and read.letter in "xX" and not read.grouped:
        prefix = "0" + read.letter
    if read.precision is not None and read.precision > len(digits):
        digits = digits.rjust(read.precision, "0")
        prefix = "" if read.letter == "o" else prefix
    if read.grouped:
        size, separator = (4, ":" if read.letter in "xX" else ",") if read.letter in "oxX" else (3, ",")
        digits = _in_groups(digits, size, separator)
    zeros = "0" in read.flags and (read.precision is None or read.grouped or read.letter in "oxX")
    return _padded(read, _sign(read, value < 0) + prefix, digits, zeros=zeros)


def _in_groups(digits: str, size: int, separator: str) -> str:
    first = (len(digits) - 1) % size + 1
    return separator.join([digits[:first], *(digits[at : at + size] for at in range(first, len(digits), size))])


def _sign(read: _Specifier, negative: bool) -> str:
    return "-" if negative else "+" if "+" in read.flags else " " if " " in read.flags else ""


def _padded(read: _Specifier, before: str, digits: str, *, zeros: bool) -> str:
    missing = max(read.width - len(before) - len(digits), 0)
    if "-" in read.flags:
        return before + digits + " " * missing
    return before + "0" * missing + digits if zeros else " " * missing + before + digits


def double(specifier: str, value: float) -> str:
    """%f, %e, %g and their capitals."""
    read = _read(specifier)
    if value == 0:
        value = 0.0
    decimals = 6 if read.precision is None else min(read.precision, _MOST_DECIMALS)
    negative = value < 0
    shown = f"%{'#' if '#' in read.flags else ''}.{decimals}{read.letter}" % abs(value)
    whole = shown[0].isdigit()
    if read.grouped and whole:
        end = len(shown) - len(shown.lstrip("0123456789"))
        shown = _in_groups(shown[:end], 3, ",") + shown[end:]
    return _padded(read, _sign(read, negative), shown, zeros="0" in read.flags and whole)


def numeric(specifier: str, value: str) -> str:
    """%f of a NUMERIC."""
    read = _read(specifier)
    decimals = 6 if read.precision is None else read.precision
    with localcontext() as context:
        context.prec = 100 + decimals
        number = Decimal(value)
        shown = f"{abs(number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)):f}"
    if "#" in read.flags and not decimals:
        shown += "."
    if read.grouped:
        whole, point, fraction = shown.partition(".")
        shown = _in_groups(whole, 3, ",") + point + fraction
    return _padded(read, _sign(read, number < 0), shown, zeros="0" in read.flags)


def string(specifier: str, value: str) -> str:
    """%s, and the texts of %t and %T."""
    read = _read(specifier)
    shown = value if read.precision is None else value[: read.precision]
    return shown.ljust(read.width) if "-" in read.flags else shown.rjust(read.width)


def literal_double(value: float) -> str:
    """A FLOAT64 with a point or an exponent."""
    shown = "-0.0" if value == 0 and math.copysign(1, value) < 0 else float_texts.round_trip(value)
    return shown if re.search(r"[.en]", shown) else f"{shown}.0"


_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\",
}  # fmt: skip


def _quote(content: str) -> str:
    return "'" if '"' in content and "'" not in content else '"'


def literal_string(value: str) -> str:
    """A STRING as GoogleSQL writes it."""
    quote = _quote(value)
    escapes = _ESCAPES | {quote: f"\\{quote}"}
    shown = "".join(escapes.get(c) or (f"\\x{ord(c):02x}" if c < " " or c == "\x7f" else c) for c in value)
    return f"{quote}{shown}{quote}"


def literal_bytes(value: bytes) -> str:
    """BYTES as GoogleSQL writes them."""
    content = value.decode("latin-1")
    quote = _quote(content)
    shown = "".join(f"\\{c}" if c in (quote, "\\") else c if " " <= c < "\x7f" else f"\\x{ord(c):02x}" for c in content)
    return f"b{quote}{shown}{quote}"


def escaped_bytes(value: bytes) -> str:
    """BYTES as %t shows them."""
    return "".join(
        f"\\{c}" if c in "\"'`\\" else c if " " <= c < "\x7f" else f"\\x{ord(c):02x}" for c in value.decode("latin-1")
    )


def python_functions() -> list[PythonFunction]:
    return [
        PythonFunction("format_integer", ("VARCHAR", "BIGINT"), "VARCHAR", integer),
        PythonFunction("format_double", ("VARCHAR", "DOUBLE"), "VARCHAR", double),
        PythonFunction("format_numeric", ("VARCHAR", "VARCHAR"), "VARCHAR", numeric),
        PythonFunction("format_string", ("VARCHAR", "VARCHAR"), "VARCHAR", string),
        PythonFunction("literal_double", ("DOUBLE",), "VARCHAR", literal_double),
        PythonFunction("literal_string", ("VARCHAR",), "VARCHAR", literal_string),
        PythonFunction("literal_bytes", ("BLOB",), "VARCHAR", literal_bytes),
        PythonFunction("escaped_bytes", ("BLOB",), "VARCHAR", escaped_bytes),
    ]


def add_entries(entries: Entries) -> None:
    entries.add("format", "STRING ANY ...", _format)
    entries.add("format", "STRING", _format)


def _format(call: Call) -> str:
    pattern = call.literal(0, "a format")
    if pattern is None:
        return "CAST(NULL AS VARCHAR)"
    left = list(call.arguments[1:])
    parts: list[str] = []
    end = 0
    for match in _SPECIFIER.finditer(pattern):
        plain = pattern[end : match.start()]
        _without_percent(plain, pattern)
        if plain:
            parts.append(text(plain))
        end = match.end()
        if match[4] == "%":
            if match[0] != "%%":
                raise Unsupported(f'Invalid FORMAT string: "{pattern}"', "write %% for a percent sign")
            parts.append("'%'")
        else:
            parts.append(_specified(match, left))
    _without_percent(pattern[end:], pattern)
    if pattern[end:]:
        parts.append(text(pattern[end:]))
    if left:
        raise Unsupported("Too many arguments to FORMAT for its pattern", "leave them out")
    return f"({' || '.join(parts)})" if parts else "''"


def _without_percent(plain: str, pattern: str) -> None:
    if "%" in plain:
        raise Unsupported(f'Invalid FORMAT string: "{pattern}"', "write %% for a percent sign")


def _taken(left: list[Argument]) -> Argument:
    if not left:
        raise Unsupported("Too few arguments to FORMAT for its pattern", "give one for each specifier")
    return left.pop(0)


def _specified(match: re.Match[str], left: list[Argument]) -> str:
    flags, width, precision, letter = match.groups()
    if "'" in flags and letter in "oxX" and precision:
        raise Unsupported("FORMAT with groups of octal or hexadecimal digits of a precision has no form on the embedded"
                          " engine", "leave the precision out")  # fmt: skip
    spec = text(f"%{flags}")
    for number, before in ((width, ""), (precision, ".")):
        if number == "*":
            argument = _taken(left)
            if argument.kind != "INT64":
                raise Unsupported("FORMAT takes an INT64 for *", "CAST it to INT64")
            spec += f" || '{before}' || CAST({argument.sql} AS VARCHAR)"
        elif number is not None and (number or before):
            spec += f" || '{before}{number}'"
    spec += f" || {text(letter)}"
    of = _taken(left)
    bare = match[0] == f"%{letter}"
    shown: str
    match letter:
        case "d" | "i" | "o" | "x" | "X" if of.kind == "INT64":
            return (
                f"CAST({of.sql} AS VARCHAR)" if bare and letter in "di" else f"python_format_integer({spec}, {of.sql})"
            )
        case "f" | "F" | "e" | "E" | "g" | "G" if of.kind == "FLOAT64":
            return f"python_format_double({spec}, {of.sql})"
        case "f" | "F" if of.kind == "NUMERIC":
            return f"python_format_numeric({spec}, bq_string_numeric({of.sql}))"
        case "f" | "F" if of.kind == "BIGNUMERIC":
            return f"python_format_numeric({spec}, bignumeric_text({of.sql}))"
        case "s" if of.kind == "STRING":
            return of.sql if bare else f"python_format_string({spec}, {of.sql})"
        case "p" if of.kind == "JSON":
            shown = f"python_json_text({of.sql})"
        case "P" if of.kind == "JSON":
            shown = f"python_json_pretty(python_json_text({of.sql}))"
        case "t" | "T":
            shown = _shown(of.sql, of.type, literal=letter == "T", depth=0)
        case _:
            raise Unsupported(f"FORMAT's %{letter} of {spelled(of.type)} has no form on the embedded engine",
                              "use %t, or CAST the value")  # fmt: skip
    return shown if bare else f"python_format_string({spec}, {shown})"


def _shown(sql: str, kind: Any, *, literal: bool, depth: int) -> str:
    """What %t and %T show of a value; NULL is shown as such."""
    return f"coalesce({_shown_value(sql, kind, literal=literal, depth=depth)}, 'NULL')"


def _shown_value(sql: str, kind: Any, *, literal: bool, depth: int) -> str:
    name = kind_of(kind)
    match name:
        case "ARRAY":
            inner = _shown(f"s{depth}", element_of(kind), literal=literal, depth=depth + 1)
            return f"('[' || array_to_string(list_transform({sql}, lambda s{depth}: {inner}), ', ') || ']')"
        case "STRUCT":
            fields = [
                _shown(f"({sql}).{quoted(column)}", of, literal=literal, depth=depth + 1)
                for column, of in fields_of(kind)
            ]
            if literal and len(fields) == 1:
                raise Unsupported("FORMAT's %T of a STRUCT of one field has no form on the embedded engine", "use %t")
            return f"CASE WHEN {sql} IS NOT NULL THEN '(' || {' || chr(44) || chr(32) || '.join(fields)} || ')' END"
        case "INT64" | "BOOL":
            return f"CAST({sql} AS VARCHAR)"
        case "FLOAT64":
            plain = f"python_literal_double({sql})"
            if not literal:
                return plain
            return f"CASE WHEN isfinite({sql}) THEN {plain} ELSE 'CAST(\"' || {plain} || '\" AS FLOAT64)' END"
        case "STRING":
            return f"python_literal_string({sql})" if literal else sql
        case "BYTES":
            return f"python_literal_bytes({sql})" if literal else f"python_escaped_bytes({sql})"
        case "JSON":
            plain = f"python_json_text({sql})"
            return f"('JSON ' || python_literal_string({plain}))" if literal else plain
        case "NUMERIC":
            plain = f"bq_string_numeric({sql})"
        case "BIGNUMERIC":
            plain = f"bignumeric_text({sql})"
        case "DATE":
            plain = f"CAST({sql} AS VARCHAR)"
        case "DATETIME" | "TIMESTAMP":
            plain = f"bq_text({sql})"
        case "TIME":
            plain = f"bq_text_of_time({sql})"
        case _:
            raise Unsupported(f"FORMAT of {spelled(kind)} has no form on the embedded engine", "CAST it to STRING")
    return f"('{name} \"' || {plain} || '\"')" if literal else plain
