"""Values that a statement holds, as DuckDB literals of their type."""

import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type, element_of, fields_of
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

_EPOCH = date(1970, 1, 1)


def value_of(kind: Any, value: Any) -> Any:
    """A scalar literal as a Python value: text, int, Decimal, float, bool, bytes, date, datetime; None for NULL."""
    which = value.WhichOneof("value")
    if which is None:
        return None
    raw = getattr(value, which)
    match kind_of(kind):
        case "STRING" | "INT64" | "BOOL" | "FLOAT64" | "BYTES" | "JSON":
            return raw
        case "NUMERIC":
            units = int.from_bytes(raw, "little", signed=True)
            return bignumeric_encoding.decimal_of(units, 9)
        case "BIGNUMERIC":
            units = int.from_bytes(raw, "little", signed=True)
            return bignumeric_encoding.decimal_of(units)
        case "DATE":
            return _EPOCH + timedelta(days=raw)
        case "TIMESTAMP":
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=raw.seconds)
            return moment.replace(microsecond=raw.nanos // 1000)
        case "DATETIME":
            bits, nanos = raw.bit_field_datetime_seconds, raw.nanos
            return datetime(  # noqa: DTZ001 - a DATETIME has no timezone
                bits >> 26, bits >> 22 & 0xF, bits >> 17 & 0x1F, bits >> 12 & 0x1F, bits >> 6 & 0x3F, bits & 0x3F,
                nanos // 1000,
            )  # fmt: skip
        case "TIME":
            bits = raw >> 30
            return f"{bits >> 12 & 0x1F:02}:{bits >> 6 & 0x3F:02}:{bits & 0x3F:02}.{(raw & 0x3FFFFFFF) // 1000:06}"
        case "INTERVAL":
            return _interval(raw)
        case "ENUM":
            return raw
    raise Unsupported(f"a literal of type {spelled(kind)} has no form on the embedded engine", "use another type")


def literal_of(kind: Any, value: Any) -> str:
    """The value as a typed DuckDB literal; arrays and structs of them too."""
    which = value.WhichOneof("value")
    if which is None:
        return f"CAST(NULL AS {duckdb_type(kind)})"
    match kind_of(kind):
        case "ARRAY":
            element = element_of(kind)
            elements = ", ".join(literal_of(element, e) for e in value.array_value.element)
            return f"CAST([{elements}] AS {duckdb_type(kind)})"
        case "STRUCT":
            pairs = zip(fields_of(kind), value.struct_value.field, strict=True)
            packed = ", ".join(f"{quoted(name)} := {literal_of(of, field_value)}" for (name, of), field_value in pairs)
            return f"struct_pack({packed})"
        case name:
            return _scalar(name, value_of(kind, value))


def _scalar(kind: str, value: Any) -> str:
    match kind:
        case "STRING":
            return text(value)
        case "INT64":
            return f"CAST({value} AS BIGINT)" if value >= 0 else f"CAST('{value}' AS BIGINT)"
        case "BOOL":
            return "true" if value else "false"
        case "FLOAT64":
            return f"CAST('{value!r}' AS DOUBLE)"
        case "NUMERIC":
            return f"CAST('{value:f}' AS DECIMAL(38,9))"
        case "BIGNUMERIC":
            return f"bignumeric_from_text('{value:f}')"
        case "DATE":
            return f"DATE '{value.isoformat()}'"
        case "DATETIME":
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case "TIMESTAMP":
            return f"TIMESTAMPTZ '{value.replace(tzinfo=None).isoformat(sep=' ')}+00'"
        case "TIME":
            return f"TIME '{value}'"
        case "BYTES":
            return f"from_hex('{value.hex()}')"
        case "JSON":
            return f"CAST({text(value)} AS JSON)"
        case "INTERVAL":
            months, days, micros = value
            return f"(to_months({months}) + to_days({days}) + to_microseconds(CAST({micros} AS BIGINT)))"
    raise Unsupported(f"a literal of type {kind} has no form on the embedded engine", "use another type")


def text(value: str) -> str:
    """A STRING; DuckDB's parser ends where a statement holds a NUL."""
    parts = [literal(part) for part in value.split("\0")]
    return parts[0] if len(parts) == 1 else f"({' || chr(0) || '.join(parts)})"


def _interval(raw: bytes) -> tuple[int, int, int]:
    """Months, days, microseconds; https://github.com/google/zetasql/blob/master/zetasql/public/interval_value.h."""
    micros, days, months_nanos = struct.unpack("<qiI", raw)
    sign = -1 if months_nanos >> 31 else 1
    months, nanos = months_nanos >> 13 & 0x3FFFF, months_nanos & 0x3FF
    if nanos:
        raise Unsupported("an INTERVAL of nanoseconds has no form on the embedded engine", "use microseconds")
    return sign * months, days, micros
