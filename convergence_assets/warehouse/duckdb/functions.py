"""BigQuery's date, time and text functions as DuckDB expressions, where sqlglot's own form answers differently."""

import re
from collections.abc import Callable

from sqlglot import exp

from convergence_assets.warehouse.duckdb import limbs

_DATE_UNITS = ("DAY", "WEEK", "ISOWEEK", "MONTH", "QUARTER", "YEAR")
_TRUNC_UNITS = (*_DATE_UNITS, "ISOYEAR")
_ELAPSED_UNITS = ("MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY")
_EXTRACT_PARTS = {
    "DAYOFWEEK": "bq_day_of_week", "WEEK": "bq_week_from_sunday", "ISOWEEK": "week", "ISOYEAR": "isoyear",
    "DAY": "day", "DAYOFYEAR": "dayofyear", "MONTH": "month", "QUARTER": "quarter", "YEAR": "year",
    "HOUR": "hour", "MINUTE": "minute", "SECOND": "second", "DATE": "bq_date_of",
}  # fmt: skip
_FORMAT_ELEMENTS = frozenset("AaBbdFGHIjMmpSTuVwYy%")
_PARSE_ELEMENTS = frozenset("dmY%")
_SPACES = "".join(
    map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)

# A local time that occurs twice is the first of the two, as in BigQuery; DuckDB's AT TIME ZONE takes the second.
_INSTANT = (
    "CASE WHEN (((a AT TIME ZONE z) - INTERVAL 1 HOUR) AT TIME ZONE z) = a"
    " THEN (a AT TIME ZONE z) - INTERVAL 1 HOUR ELSE a AT TIME ZONE z END"
)
_FRACTION = (
    "CASE WHEN date_part('microsecond', a) % 1000000 = 0 THEN ''"
    " WHEN date_part('microsecond', a) % 1000 = 0 THEN left(strftime(a, '.%f'), 4) ELSE strftime(a, '.%f') END"
)
# As BigQuery escapes: https://github.com/google/zetasql/blob/master/zetasql/common/json_util.cc. DuckDB's own to_json
# writes the hexadecimal digits in capitals and leaves the two separators as they are; it is right for all other texts.
_ESCAPES = {chr(code): f"\\u{code:04x}" for code in (*range(0x20), 0x2028, 0x2029)} | {
    "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
}  # fmt: skip


def _escaped(text: str) -> str:
    for character, escape in {"\\": "\\\\", '"': '\\"', **_ESCAPES}.items():
        text = f"replace({text}, chr({ord(character)}), '{escape}')"
    return f"'\"' || {text} || '\"'"


_JSON_STRING = (
    "CASE WHEN a IS NULL THEN 'null' WHEN contains(CAST(to_json(a) AS VARCHAR), '\\u') OR contains(a, chr(8232))"
    f" OR contains(a, chr(8233)) THEN {_escaped('a')} ELSE CAST(to_json(a) AS VARCHAR) END"
)
_NOT_TEXT = ("BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ", "DECIMAL(38,9)")
_NO_TEXT = "CAST(CAST('TO_JSON_STRING takes a STRING here, not ' || CAST(a AS VARCHAR) AS BIGINT) AS VARCHAR)"
MACROS = (
    f"bq_to_json_string(a VARCHAR) AS {_JSON_STRING}, " + ", ".join(f"(a {kind}) AS {_NO_TEXT}" for kind in _NOT_TEXT),
    "bq_add_to_date(a DATE, i) AS CAST(a + i AS DATE)",
    "bq_add_to_timestamp(a TIMESTAMPTZ, i) AS a + i",
    "bq_date_trunc(unit, a DATE) AS CAST(date_trunc(unit, a) AS DATE)",
    "bq_date_trunc_week(a DATE) AS CAST(date_trunc('week', a + 1) AS DATE) - 1",
    "bq_date_diff(unit, a DATE, b DATE) AS date_diff(unit, b, a)",
    "bq_date_diff_isoweek(a DATE, b DATE) AS date_diff('day', date_trunc('week', b), date_trunc('week', a)) // 7",
    "bq_date_diff_week(a DATE, b DATE) AS date_diff('day', date_trunc('week', b + 1), date_trunc('week', a + 1)) // 7",
    "bq_elapsed(unit, a TIMESTAMPTZ, b TIMESTAMPTZ) AS date_sub(unit, b, a)",
    "bq_timestamp_trunc(unit, a TIMESTAMPTZ) AS date_trunc(unit, a)",
    f"bq_instant(a TIMESTAMP, z) AS {_INSTANT}",
    "bq_local(a TIMESTAMPTZ, z) AS a AT TIME ZONE z",
    "bq_format(a, f) AS strftime(CAST(a AS TIMESTAMP), f)",
    "bq_day_of_week(a) AS date_part('dayofweek', a) + 1",
    "bq_week_from_sunday(a) AS CAST(strftime(a, '%U') AS BIGINT)",
    "bq_date_of(a) AS CAST(a AS DATE)",
    "bq_substr(a VARCHAR, p) AS substring(a, CASE WHEN p = 0 OR p < -length(a) THEN 1 ELSE p END),"
    " (a VARCHAR, p, n) AS CASE WHEN n < 0 THEN CAST('negative length of SUBSTR' || left(a, 0) AS INTEGER)::VARCHAR"
    " ELSE substring(a, CASE WHEN p = 0 OR p < -length(a) THEN 1 ELSE p END, n) END",
    f"bq_text(a VARCHAR) AS a, (a {limbs.TYPE}) AS bignumeric_text(a), (a BOOLEAN) AS CAST(a AS VARCHAR), (a BIGINT) AS CAST(a AS VARCHAR),"
    " (a DATE) AS CAST(a AS VARCHAR), (a DOUBLE) AS CAST(CAST('FLOAT64 has no portable text: ' || a AS BIGINT) AS VARCHAR), (a DECIMAL(38,9)) AS bq_string_numeric(a),"
    f" (a TIMESTAMP) AS strftime(a, '%Y-%m-%d %H:%M:%S') || {_FRACTION},"
    f" (a TIMESTAMPTZ) AS strftime(CAST(a AS TIMESTAMP), '%Y-%m-%d %H:%M:%S') || {_FRACTION.replace('(a,', '(CAST(a AS TIMESTAMP),')} || '+00'",
)  # fmt: skip


def replacement(node: exp.Expr) -> exp.Expr | None:
    """What takes the place of a node whose operands are already DuckDB's; None leaves it to sqlglot."""
    build = _BUILDERS.get(type(node))
    return build(node) if build else None


def problem(node: exp.Expr) -> tuple[str, str] | None:
    """Message and remedy for arguments of a verified function that have no faithful form."""
    unit = _unit(node)
    match node:
        case exp.DateAdd() | exp.DateSub() if unit not in _DATE_UNITS:
            return _unit_problem(node, unit, _DATE_UNITS)
        case exp.DateTrunc() if unit not in _TRUNC_UNITS:
            return _unit_problem(node, unit, _TRUNC_UNITS)
        case exp.DateTrunc() if node.args.get("zone"):
            return "DATE_TRUNC of a TIMESTAMP in a timezone does not run alike", "write TIMESTAMP_TRUNC"
        case exp.DateDiff() if unit not in _DATE_UNITS:
            return _unit_problem(node, unit, _DATE_UNITS)
        case exp.TimestampDiff() | exp.TimestampAdd() | exp.TimestampSub() if unit not in _ELAPSED_UNITS:
            return _unit_problem(node, unit, _ELAPSED_UNITS)
        case exp.TimestampTrunc():
            large = ("DAY", "ISOWEEK", "MONTH", "QUARTER", "YEAR")
            allowed = large if node.args.get("zone") else ("SECOND", "MINUTE", "HOUR", *large)
            return None if unit in allowed else _unit_problem(node, unit, allowed)
        case exp.LastDay() if unit not in ("", "MONTH"):
            return _unit_problem(node, unit, ("MONTH",))
        case exp.Extract():
            return None if _part(node) in _EXTRACT_PARTS else _unit_problem(node, _part(node), tuple(_EXTRACT_PARTS))
        case exp.TimeToStr():
            return _format_problem(node.args.get("format"), _FORMAT_ELEMENTS)
        case exp.StrToDate():
            found = _format_problem(node.args.get("format"), _PARSE_ELEMENTS)
            if not found and sorted(re.findall("%(.)", node.args["format"].name)) != ["Y", "d", "m"]:
                return "PARSE_DATE without %Y, %m and %d once each does not run alike", "use %Y, %m and %d"
            return found
        case exp.RegexpExtract():
            return _extraction_problem(node)
        case exp.RegexpReplace() if (
            not _text(node.args.get("replacement")) or len([v for v in node.args.values() if v]) > 3
        ):
            return "REGEXP_REPLACE with this replacement does not run alike", "write the replacement as a literal"
        case exp.Round() if node.args.get("truncate"):
            return "ROUND with a rounding mode has no form on the embedded engine", "write ROUND(x, n)"
        case exp.GroupConcat():
            inner = node.this
            if isinstance(inner, exp.Limit):
                return "STRING_AGG with LIMIT has no form on the embedded engine", "leave the LIMIT out"
            if not isinstance(inner, exp.Order):
                return "STRING_AGG without ORDER BY gives another order at every run", "add ORDER BY inside STRING_AGG"
        case exp.Bracket():
            return _bracket_problem(node)
        case exp.Like() if not _text(node.expression) or "\\" in node.expression.name:
            return "LIKE with a backslash or with a pattern that is not a literal does not run alike", (
                "write STARTS_WITH, ENDS_WITH or REGEXP_CONTAINS"
            )
        case exp.RegexpLike() | exp.Split() if not _text(node.expression):
            return "a pattern or separator that is not a literal is not verified", "write it as a literal"
        case exp.SHA2() | exp.SHA2Digest() if node.text("length") not in ("", "256"):
            return f"SHA{node.text('length')} has no form on the embedded engine", "use SHA256"
        case exp.Unnest() if node.args.get("offset"):
            return "WITH OFFSET counts from 1 on the embedded engine", "unnest without WITH OFFSET"
        case exp.Lag() | exp.Lead() if node.args.get("offset") and not isinstance(node.args["offset"], exp.Literal):
            return "LAG and LEAD with an offset that is not a literal are not verified", "write the offset as a literal"
        case exp.Interval() if not isinstance(node.parent, exp.GenerateDateArray | exp.GenerateTimestampArray):
            return "INTERVAL arithmetic does not run alike", "write DATE_ADD, DATE_SUB, TIMESTAMP_ADD or TIMESTAMP_SUB"
        case exp.GenerateDateArray() if _unit(node.args.get("step") or node) not in ("", *_DATE_UNITS[:3]):
            return "GENERATE_DATE_ARRAY with months clips the last day differently", "step by DAY or WEEK"
        case exp.GenerateTimestampArray() if _unit(node.args["step"]) not in ("DAY", "HOUR", "MINUTE", "SECOND"):
            return "GENERATE_TIMESTAMP_ARRAY with this step is not verified", "step by DAY, HOUR, MINUTE or SECOND"
    return None


def _unit(node: exp.Expr) -> str:
    unit = node.args.get("unit")
    if isinstance(unit, exp.WeekStart):
        return {"SUNDAY": "WEEK", "MONDAY": "ISOWEEK"}.get(unit.name.upper(), f"WEEK({unit.name})")
    return unit.name.upper() if isinstance(unit, exp.Expr) else ""


def _part(node: exp.Extract) -> str:
    if isinstance(node.this, exp.WeekStart):
        return {"SUNDAY": "WEEK"}.get(node.this.name.upper(), f"WEEK({node.this.name})")
    return str(node.this.name).upper()


def _engine_unit(unit: str) -> exp.Expr:
    return exp.Literal.string("week" if unit == "ISOWEEK" else unit.lower())


def _text(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.RawString) or (isinstance(node, exp.Literal) and node.is_string)


def _unit_problem(node: exp.Expr, unit: str, allowed: tuple[str, ...]) -> tuple[str, str]:
    name = node.meta.get("bigquery_name") or type(node).__name__.upper()
    return f"{name} by {unit or 'this unit'} is not verified to answer alike", f"use one of {', '.join(allowed)}"


def _format_problem(pattern: exp.Expr | None, elements: frozenset[str]) -> tuple[str, str] | None:
    remedy = "use " + ", ".join(f"%{e}" for e in sorted(elements))
    if pattern is None or not _text(pattern):
        return "a format that is not a literal is not verified", "write the format as a literal"
    wrong = [e for e in re.findall(r"%(.?)", pattern.name, re.DOTALL) if e not in elements]
    return (f"the format element %{wrong[0]} is not verified to answer alike", remedy) if wrong else None


def _extraction_problem(node: exp.RegexpExtract) -> tuple[str, str] | None:
    if node.args.get("position") or node.args.get("occurrence") or not _text(node.expression):
        return "REGEXP_EXTRACT with a position or a pattern that is not a literal is not verified", (
            "write REGEXP_EXTRACT(text, r'pattern')"
        )
    # Escapes and character classes hold no groups.
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "", re.sub(r"\\.", "", node.expression.name))
    groups = re.findall(r"\((?!\?(?!P<|<))", bare)
    if len(groups) > 1:
        return "REGEXP_EXTRACT takes at most one group", "write (?:...) for the others"
    if groups and (re.search(r"\)[?*{]", bare) or "|" in bare):
        return "a group that may take no part in the match does not answer alike", "match it with REGEXP_CONTAINS first"
    return None


def _bracket_problem(node: exp.Bracket) -> tuple[str, str] | None:
    index = node.expressions[0]
    if not isinstance(index, exp.Literal) or not index.is_int:
        return "an array index that is not a literal does not run alike", "write [SAFE_OFFSET(0)] with a literal"
    if not node.args.get("safe"):
        return "an index beyond the array is an error on BigQuery alone", "write SAFE_OFFSET or SAFE_ORDINAL"
    return None


def _call(name: str, *operands: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[o.copy() for o in operands])


def _added(name: str, sign: int) -> Callable[[exp.Expr], exp.Expr]:
    def build(node: exp.Expr) -> exp.Expr:
        amount = node.expression
        count = exp.Literal.number(amount.name) if isinstance(amount, exp.Literal) else amount.copy()
        signed = exp.Neg(this=exp.Paren(this=count)) if sign < 0 else count
        unit = _unit(node)
        if unit == "QUARTER":
            signed, unit = exp.Mul(this=exp.Literal.number(3), expression=exp.Paren(this=signed)), "MONTH"
        count = exp.cast(signed, "BIGINT" if unit in _ELAPSED_UNITS[:-1] else "INT")
        return _call(name, node.this, _call("to_weeks" if unit == "ISOWEEK" else f"to_{unit.lower()}s", count))

    return build


def _date_trunc(node: exp.Expr) -> exp.Expr:
    unit = _unit(node)
    if unit == "WEEK":
        return _call("bq_date_trunc_week", node.this)
    return _call("bq_date_trunc", _engine_unit(unit), node.this)


def _date_diff(node: exp.Expr) -> exp.Expr:
    unit = _unit(node)
    if unit in ("WEEK", "ISOWEEK"):
        return _call(f"bq_date_diff_{unit.lower()}", node.this, node.expression)
    return _call("bq_date_diff", _engine_unit(unit), node.this, node.expression)


def _timestamp_trunc(node: exp.Expr) -> exp.Expr:
    zone, unit = node.args.get("zone"), _engine_unit(_unit(node))
    if zone is None:
        return _call("bq_timestamp_trunc", unit, node.this)
    return _call("bq_instant", _call("date_trunc", unit, _call("bq_local", node.this, zone)), zone)


def _extract(node: exp.Expr) -> exp.Expr:
    what, of = _EXTRACT_PARTS[_part(node)], node.expression  # type: ignore[arg-type]
    if isinstance(of, exp.AtTimeZone):
        of = _call("bq_local", of.this, of.args["zone"])
    return _call(what, of) if what.startswith("bq_") else _call("date_part", exp.Literal.string(what), of)


def _time_to_str(node: exp.Expr) -> exp.Expr:
    of, zone = node.this, node.args.get("zone")
    if isinstance(of, exp.TsOrDsToTimestamp | exp.TsOrDsToDate):
        of = of.this
    return _call("bq_format", _call("bq_local", of, zone) if zone else of, node.args["format"])


def _date(node: exp.Expr) -> exp.Expr | None:
    zone = node.args.get("zone")
    return exp.cast(_call("bq_local", node.this, zone), "DATE") if zone else None


def _timestamp(node: exp.Expr) -> exp.Expr | None:
    zone = node.args.get("zone")
    return (
        _call("bq_instant", exp.cast(node.this.copy(), exp.DataType.build("TIMESTAMP", dialect="duckdb")), zone)
        if zone
        else None
    )


def _trim(node: exp.Expr) -> exp.Expr:
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    return _call(name, node.this, node.expression or exp.Literal.string(_SPACES))


def _concat(node: exp.Expr) -> exp.Expr:
    joined: exp.Expr = exp.Paren(this=node.expressions[0].copy())
    for part in node.expressions[1:]:
        joined = exp.DPipe(this=joined, expression=exp.Paren(this=part.copy()), safe=False)
    return exp.Paren(this=joined)


def _substring(node: exp.Expr) -> exp.Expr:
    operands = [node.this, node.args.get("start"), node.args.get("length")]
    return _call("bq_substr", *(o for o in operands if o is not None))


def _count_if(node: exp.Expr) -> exp.Expr:
    # DuckDB's COUNT_IF is a sum: NULL where no row is TRUE or FALSE, in a group and in a window's frame alike.
    distinct = isinstance(node.this, exp.Distinct)
    condition = node.this.expressions[0] if distinct else node.this
    counted: exp.Expr = exp.Case(ifs=[exp.If(this=condition.copy(), true=exp.Literal.number(1))])
    return exp.Count(this=exp.Distinct(expressions=[counted]) if distinct else counted)


_BUILDERS: dict[type[exp.Expr], Callable[..., exp.Expr | None]] = {
    exp.DateAdd: _added("bq_add_to_date", 1),
    exp.DateSub: _added("bq_add_to_date", -1),
    exp.TimestampAdd: _added("bq_add_to_timestamp", 1),
    exp.TimestampSub: _added("bq_add_to_timestamp", -1),
    exp.DateTrunc: _date_trunc,
    exp.DateDiff: _date_diff,
    exp.TimestampDiff: lambda n: _call("bq_elapsed", _engine_unit(_unit(n)), n.this, n.expression),
    exp.TimestampTrunc: _timestamp_trunc,
    exp.Extract: _extract,
    exp.TimeToStr: _time_to_str,
    exp.StrToDate: lambda n: exp.cast(_call("strptime", n.this, n.args["format"]), "DATE"),
    exp.Date: _date,
    exp.Timestamp: _timestamp,
    exp.Trim: _trim,
    exp.Concat: _concat,
    exp.Substring: _substring,
    exp.CountIf: _count_if,
    exp.JSONFormat: lambda n: _call("bq_to_json_string", n.this),
}
