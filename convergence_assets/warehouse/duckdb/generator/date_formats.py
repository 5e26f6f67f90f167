"""FORMAT_DATE, PARSE_TIMESTAMP and their like, by strftime and strptime where those write and read alike; STRING."""

import re

from convergence_assets.warehouse.duckdb.generator import time_formatting, time_parsing, zones
from convergence_assets.warehouse.duckdb.generator.calls import Call, Entries, once
from convergence_assets.warehouse.duckdb.generator.literals import text
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported

# DuckDB's strftime writes these alike from the year 1000 on.
_FORMAT_ELEMENTS = frozenset("AaBbdFGHIjMmpSTuVwYy%")
_STRFTIME = {"F": "%Y-%m-%d", "T": "%H:%M:%S"}
_PARSE_ELEMENTS = {
    "Y": "[1-9][0-9]{3}",
    "m": "[0-9]{2}",
    "d": "[0-9]{2}",
    "H": "[0-9]{2}",
    "M": "[0-9]{2}",
    "S": "[0-5][0-9]",
}
_FORMATS_ALSO = {"date": ("DATETIME", "TIMESTAMP"), "datetime": ("TIMESTAMP",), "timestamp": ("DATE", "DATETIME")}


def add_entries(entries: Entries) -> None:
    for kind in ("DATE", "DATETIME", "TIME", "TIMESTAMP"):
        entries.add(f"format_{kind.lower()}", f"STRING {kind}", _formatted)
        entries.add(f"parse_{kind.lower()}", "STRING STRING", _parsed)
    for name, kinds in _FORMATS_ALSO.items():
        for kind in kinds:
            entries.add(f"format_{name}", f"STRING {kind}", _formatted)
    entries.add("format_timestamp", "STRING TIMESTAMP STRING", _formatted)
    entries.add("parse_timestamp", "STRING STRING STRING", _parsed)
    entries.add("string", "DATE", "CAST({0} AS VARCHAR)")
    entries.add("string", "DATETIME", "bq_text({0})")
    entries.add("string", "TIME", "bq_text_of_time({0})")
    entries.add("string", "TIMESTAMP", "bq_text({0})")
    entries.add("string", "TIMESTAMP STRING", _string_of_timestamp)


def _string_of_timestamp(call: Call) -> str:
    value, zone = call.arguments
    return f"bq_text({value.sql})" if zones.is_utc(zone) else f"python_zoned_text(epoch_us({value.sql}), {zone.sql})"


def _local(call: Call, zone_at: int) -> str:
    """A value as the TIMESTAMP, in DuckDB, that a clock shows."""
    value = call.arguments[1]
    match value.kind:
        case "TIME":
            return f"(DATE '1970-01-01' + {value.sql})"
        case "TIMESTAMP" if len(call.arguments) > zone_at:
            return zones.local(value.sql, call.arguments[zone_at])
    return f"CAST({value.sql} AS TIMESTAMP)"


def _formatted(call: Call) -> str:
    pattern, value = call.arguments[0], call.arguments[1]
    kind, local = value.kind, _local(call, 2)

    def slow(local: str) -> str:
        instant = value.sql if kind == "TIMESTAMP" else local
        return f"python_format_time('{kind}', {pattern.sql}, epoch_us({local}), epoch_us({instant}))"

    if not pattern.is_literal:
        return once([local], lambda operands: slow(operands[0]))
    if pattern.value is None:
        return "CAST(NULL AS VARCHAR)"
    unknown = time_formatting.unknown_for_format(pattern.value, kind)
    if unknown:
        raise Unsupported(f"the format element %{unknown} has no form on the embedded engine", "use another element")
    elements = time_formatting.elements(pattern.value)
    plain = _FORMAT_ELEMENTS.issuperset(elements) and not any(time_formatting.is_foreign(e, kind) for e in elements)
    if not plain or not elements or pattern.value.endswith("%"):
        return once([local], lambda operands: slow(operands[0]))
    spelled = text(re.sub("%([FT%])", lambda match: _STRFTIME.get(match[1], match[0]), pattern.value))
    # Older offsets have seconds, which FORMAT_TIMESTAMP leaves out.
    first = 1973 if len(call.arguments) > 2 else 1000
    return once(
        [local],
        lambda operands: (
            f"CASE WHEN date_part('year', {operands[0]}) BETWEEN {first} AND 9999 THEN strftime({operands[0]}, {spelled})"
            f" ELSE {slow(operands[0])} END"
        ),
    )


def _parsed(call: Call) -> str:
    pattern, value = call.arguments[0], call.arguments[1]
    kind = call.name.removeprefix("parse_").upper()
    zone = call.arguments[2].sql if len(call.arguments) > 2 else "'UTC'"
    utc = len(call.arguments) == 2 or zones.is_utc(call.arguments[2])
    target = {"DATE": "DATE", "TIME": "TIME", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ"}[kind]
    if pattern.is_literal and pattern.value is None:
        return f"CAST(NULL AS {target})"
    slow = f"make_timestamp(python_parse_time('{kind}', {pattern.sql}, {value.sql}, {zone}))"
    if pattern.is_literal:
        problem = time_parsing.problem_for_parse(pattern.value, kind)
        if problem:
            raise Unsupported(problem, "use another format")
        shape, spelled = _fast_parse(pattern.value)
        if shape and utc:
            fast = f"strptime({value.sql}, {text(spelled)})"
            return (
                f"CAST(CASE WHEN regexp_full_match({value.sql}, {text(shape)}) THEN {fast} ELSE {slow} END AS {target})"
            )
    return f"CAST({slow} AS {target})"


def _fast_parse(pattern: str) -> tuple[str, str]:
    """The texts that DuckDB's strptime reads alike, and the pattern as it takes it; empty where there are none."""
    spelled = re.sub("%([FT])", lambda match: _STRFTIME[match[1]], pattern)
    elements = time_formatting.elements(spelled)
    if not {"Y", "m", "d"} <= set(elements) <= set(_PARSE_ELEMENTS) or len(set(elements)) < len(elements):
        return "", ""
    shape = "".join(
        _PARSE_ELEMENTS[part[1]] if part[0] == "%" else re.escape(part) for part in re.findall(r"%.|[^%]", spelled)
    )
    return (shape, spelled) if re.fullmatch(r"(%.|[-/.:_TZ ])+", spelled) else ("", "")
