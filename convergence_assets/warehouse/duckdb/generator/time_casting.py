"""CAST of dates and times with FORMAT and AT TIME ZONE."""

from typing import Any

from convergence_assets.warehouse.duckdb.generator import cast_formats, zones
from convergence_assets.warehouse.duckdb.generator.calls import Argument, once
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type
from convergence_assets.warehouse.googlesql.types import kind_of, spelled

_KINDS = ("DATE", "TIME", "DATETIME", "TIMESTAMP")


def cast(of: Argument, kind: Any, pattern: Argument | None, zone: Argument | None) -> str:
    """`of` as a text by a format, or the other way round; a time zone only goes with a TIMESTAMP."""
    before, after = of.kind, kind_of(kind)
    if pattern is None:
        raise Unsupported("CAST with AT TIME ZONE and without FORMAT has no form on the embedded engine",
                          "write STRING(timestamp, timezone)")  # fmt: skip
    if before in _KINDS and after == "STRING":
        return _text(of, _literal(pattern, before, cast_formats.problem_for_format), zone)
    if before == "STRING" and after in _KINDS:
        format_ = _literal(pattern, after, cast_formats.problem_for_parse)
        name = zone.sql if zone is not None else "'UTC'"
        if zone is not None:
            zones.is_utc(zone)
        moment = f"make_timestamp(python_cast_text_time({format_}, {of.sql}, {name}, epoch_us(now())))"
        return f"CAST({moment} AS {duckdb_type(kind)})"
    raise Unsupported(f"CAST of {spelled(of.type)} AS {spelled(kind)} with FORMAT has no form on the embedded engine",
                      "CAST without FORMAT")  # fmt: skip


def _literal(pattern: Argument, kind: str, problem_of: Any) -> str:
    if not pattern.is_literal:
        raise Unsupported("FORMAT that is not a literal has no form on the embedded engine", "write it as a literal")
    problem = problem_of(pattern.value, kind) if pattern.value is not None else None
    if problem:
        raise Unsupported(problem, "use other format elements")
    return pattern.sql


def _text(of: Argument, pattern: str, zone: Argument | None) -> str:
    value = f"(DATE '1970-01-01' + {of.sql})" if of.kind == "TIME" else of.sql
    instant = once([value], lambda operands: f"epoch_us(CAST({operands[0]} AS TIMESTAMP))")
    local = f"epoch_us({zones.local(of.sql, zone)})" if zone is not None else instant
    return f"python_cast_time_text({pattern}, {local}, {instant})"
