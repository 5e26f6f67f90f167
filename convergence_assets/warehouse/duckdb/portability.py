"""What BigQuery SQL the embedded engine answers alike; everything else is refused with its position."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from convergence_assets.warehouse.duckdb import functions


@dataclass(frozen=True)
class SqlProblem:
    """Why a statement is refused; `line` and `column` are 1-based in the given text, `remedy` is empty where the
    message is BigQuery's own."""

    line: int
    column: int
    message: str
    remedy: str


class UnportableSQL(ValueError):
    """The statement has no faithful form on the embedded engine."""

    def __init__(self, problems: tuple[SqlProblem, ...]) -> None:
        super().__init__("; ".join(f"line {p.line}, column {p.column}: {p.message}; {p.remedy}" for p in problems))
        self.problems = problems


# Functions whose answers were compared with BigQuery's documented ones on the embedded engine (the tests name each).
VERIFIED = frozenset({
    "ABS", "AND", "ANY_VALUE", "AVG", "CASE", "CAST", "CEIL", "COALESCE", "CONCAT", "COUNT", "COUNT_IF",
    "CURRENT_DATE", "CURRENT_TIMESTAMP", "DATE", "DATE_ADD", "DATE_DIFF", "DATE_SUB", "DATE_TRUNC", "DENSE_RANK",
    "ENDS_WITH", "EXISTS", "EXTRACT", "FIRST_VALUE", "FLOOR", "GENERATE_DATE_ARRAY", "GREATEST", "JSON_FORMAT",
    "LOWER_HEX", "IF", "LAG", "LAST_DAY", "LAST_VALUE", "LEAD", "LEAST", "LENGTH", "LOGICAL_AND", "LOGICAL_OR",
    "LOWER", "MAX", "MD5", "MD5_DIGEST", "MIN", "NULLIF", "OR", "PARSE_DATE", "RANK", "REGEXP_EXTRACT",
    "REGEXP_LIKE", "REGEXP_REPLACE", "REPLACE", "ROUND", "ROW_NUMBER", "SAFE_DIVIDE", "SHA2_DIGEST", "SIGN",
    "SPLIT", "STARTS_WITH", "GROUP_CONCAT", "STRUCT", "SUBSTRING", "SUM", "TIMESTAMP", "TIMESTAMP_ADD",
    "TIMESTAMP_DIFF", "TIMESTAMP_SUB", "TIMESTAMP_TRUNC", "TIME_TO_STR", "STR_TO_DATE", "TRIM", "TRY_CAST", "UNNEST",
    "UPPER", "ARRAY_SIZE", "ARRAY", "ARRAY_LENGTH", "TS_OR_DS_TO_DATE", "TS_OR_DS_TO_TIMESTAMP",
    "ARRAY_TO_STRING", "DATETIME", "DATE_FROM_PARTS", "GENERATE_TIMESTAMP_ARRAY",
})  # fmt: skip

# As BigQuery spells them; the pipelines guide lists them.
NAMES = frozenset({
    "ABS", "ANY_VALUE", "ARRAY", "ARRAY_LENGTH", "ARRAY_TO_STRING", "AVG", "CAST", "CEIL", "COALESCE", "CONCAT",
    "COUNT", "COUNTIF", "CURRENT_DATE", "CURRENT_TIMESTAMP", "DATE", "DATETIME", "DATE_ADD", "DATE_DIFF",
    "DATE_SUB", "DATE_TRUNC", "DENSE_RANK", "DIV", "ENDS_WITH", "EXISTS", "EXTRACT", "FIRST_VALUE", "FLOOR",
    "FORMAT_DATE", "FORMAT_TIMESTAMP", "GENERATE_DATE_ARRAY", "GENERATE_TIMESTAMP_ARRAY", "GREATEST", "IF",
    "IFNULL", "LAG", "LAST_DAY", "LAST_VALUE", "LEAD", "LEAST", "LENGTH", "LOGICAL_AND", "LOGICAL_OR", "LOWER",
    "LTRIM", "MAX", "MD5", "MIN", "MOD", "NULLIF", "PARSE_DATE", "RANK", "REGEXP_CONTAINS", "REGEXP_EXTRACT",
    "REGEXP_REPLACE", "REPLACE", "ROUND", "ROW_NUMBER", "RTRIM", "SAFE_CAST", "SAFE_DIVIDE", "SHA256", "SIGN",
    "SPLIT", "STARTS_WITH", "STRING_AGG", "STRUCT", "SUBSTR", "SUBSTRING", "SUM", "TIMESTAMP", "TIMESTAMP_ADD",
    "TIMESTAMP_DIFF", "TIMESTAMP_SUB", "TIMESTAMP_TRUNC", "TO_HEX", "TO_JSON_STRING", "TRIM", "UNNEST", "UPPER",
})  # fmt: skip

_COMPACT = frozenset(name.replace("_", "") for name in VERIFIED)

# Syntax that was compared; whatever else sqlglot can parse is refused.
_SYNTAX = (
    exp.Add, exp.Alias, exp.And, exp.Array, exp.AtTimeZone, exp.Between, exp.Boolean, exp.Bracket, exp.CTE, exp.Column,
    exp.ColumnDef, exp.DPipe, exp.DataType, exp.Distinct, exp.Div, exp.Dot, exp.EQ, exp.Except, exp.From, exp.GT,
    exp.GTE, exp.Group, exp.Having, exp.Identifier, exp.IgnoreNulls, exp.In, exp.IntDiv, exp.Intersect, exp.Interval,
    exp.Is, exp.Join, exp.LT, exp.LTE, exp.Like, exp.Limit, exp.Literal, exp.Mod, exp.Mul, exp.NEQ, exp.Neg, exp.Not,
    exp.Null, exp.Offset, exp.Or, exp.Order, exp.Ordered, exp.Parameter, exp.Paren, exp.Placeholder, exp.PropertyEQ,
    exp.Qualify, exp.RawString, exp.Select, exp.Star, exp.Sub, exp.Subquery, exp.Table, exp.TableAlias, exp.Tuple,
    exp.Union,
    exp.Var, exp.WeekStart, exp.Where, exp.Window, exp.WindowSpec, exp.With,
)  # fmt: skip
_LARGEST_INT64 = 2**63 - 1
_DECIMALS = (exp.DataType.Type.DECIMAL, exp.DataType.Type.BIGDECIMAL)

_REFUSED_NODES: tuple[tuple[type[exp.Expr], str, str], ...] = (
    (exp.Command, "scripting and EXECUTE IMMEDIATE do not run alike", "write one SELECT"),
    (exp.TableSample, "TABLESAMPLE does not give the same rows", "filter by a column"),
    (exp.Version, "FOR SYSTEM_TIME AS OF has no form on the embedded engine", "read the table as it is"),
    (exp.Pivot, "PIVOT and UNPIVOT do not run alike", "write SUM(IF(...)) columns"),
    (exp.Rand, "RAND gives other values at every run", "derive the value from the row"),
    (exp.Into, "SELECT INTO is not BigQuery SQL", "write one SELECT"),
)


def parse(sql: str) -> exp.Expr:
    """The one statement's tree; raises `UnportableSQL` for a syntax error or anything but one SELECT."""
    try:
        statements = [s for s in sqlglot.parse(sql, read="bigquery") if s is not None]
    except sqlglot.errors.SqlglotError as error:
        raise UnportableSQL((_syntax_problem(error, sql),)) from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kind = type(statements[0]).__name__.upper() if len(statements) == 1 else f"{len(statements)} statements"
        raise UnportableSQL((SqlProblem(1, 1, f"expected one SELECT and found {kind}", "write one SELECT"),))
    for number in statements[0].find_all(exp.Literal):
        if not number.is_string and number.name.isdecimal():
            number.set("this", str(int(number.name)))  # 01 is 1
    return statements[0]


def position(node: exp.Expr) -> tuple[int, int]:
    """Line and column of the first token below a node that knows where it stands; (1, 1) if none does."""
    for inner in node.walk(bfs=False):
        if "line" in inner.meta:
            return inner.meta["line"], inner.meta["col"] - (inner.meta["end"] - inner.meta["start"])
    return (position(node.parent)) if node.parent is not None else (1, 1)


def problems_of(tree: exp.Expr) -> Iterator[SqlProblem]:
    """Every construct of a parsed statement that is refused whatever its operands' types, one for each position."""
    named: set[tuple[int, int]] = set()
    for node in tree.walk(bfs=False):
        found = _problem(node)
        if found and position(node) not in named:
            named.add(position(node))
            yield SqlProblem(*position(node), *found)


def _problem(node: exp.Expr) -> tuple[str, str] | None:
    for kind, message, remedy in _REFUSED_NODES:
        if isinstance(node, kind):
            return message, remedy
    match node:
        case exp.Unnest() if not node.args.get("alias") and isinstance(node.parent, exp.From | exp.Join):
            return "an unaliased UNNEST names its fields on one engine alone", (
                "write UNNEST(...) AS x and name its fields x.field"
            )
        case exp.Table() if "*" in node.name:
            return "wildcard tables have no form on the embedded engine", "name the table"
        case exp.DataType() if node.this == exp.DataType.Type.BIGDECIMAL and not isinstance(node.parent, exp.Cast):
            return "an ARRAY or STRUCT of BIGNUMERIC by its type has no form on the embedded engine", "CAST its members"
        case exp.Cast() if node.to.this in _DECIMALS and node.to.expressions:
            return "a NUMERIC with a precision has no faithful form on the embedded engine", "use NUMERIC and ROUND"
        case exp.Extract() if isinstance(node.expression, exp.AtTimeZone) and node.name.upper() == "DATE":
            return "EXTRACT(DATE FROM ... AT TIME ZONE ...) does not run alike", "write DATE(timestamp, timezone)"
        case exp.Literal() if not node.is_string and not node.is_int and _in_arithmetic(node):
            return f"{node.this} is a FLOAT64 literal in arithmetic", (
                f"write NUMERIC '{node.this}' for money, CAST({node.this} AS FLOAT64) otherwise"
            )
        case exp.ArrayAgg():
            return "ARRAY_AGG orders and drops NULLs differently", "use MIN, MAX, ANY_VALUE or STRING_AGG ... ORDER BY"
        case exp.Anonymous():
            return _unverified(node.name.upper())
        case exp.With() if node.recursive:
            return "WITH RECURSIVE is not verified", "write the levels out"
        case exp.Cast() if node.args.get("format"):
            return "CAST with FORMAT has no form on the embedded engine", "use FORMAT_DATE or PARSE_DATE"
        case exp.Literal() if node.is_int and int(node.this) > _LARGEST_INT64 + isinstance(node.parent, exp.Neg):
            return f"{node.this} is beyond INT64", "write NUMERIC '...'"
        case exp.Func() if not isinstance(node, _SYNTAX):
            names = {n.upper() for n in (node.sql_name(), *type(node).sql_names())}
            if not _COMPACT & {n.replace("_", "") for n in names}:
                return _unverified(node.meta.get("bigquery_name") or node.sql_name())
        case exp.Expr() if not isinstance(node, _SYNTAX):
            said = node.key.upper()
            return f"{said} is not verified to answer alike on both engines", "write it with plain joins and functions"
    return functions.problem(node)


def _unverified(name: str) -> tuple[str, str]:
    near = difflib.get_close_matches(name, NAMES - {name}, n=1)
    remedy = f"did you mean {near[0]}?" if near else "use one of the functions that the pipelines guide lists"
    return f"function {name} is not verified to answer alike on both engines", remedy


def _in_arithmetic(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, exp.Neg | exp.Paren):
        parent = parent.parent
    return isinstance(
        parent,
        exp.Add
        | exp.Sub
        | exp.Mul
        | exp.Div
        | exp.Mod
        | exp.IntDiv
        | exp.SafeDivide
        | exp.Coalesce
        | exp.If
        | exp.Case
        | exp.Greatest
        | exp.Least
        | exp.Nullif,
    )


def _syntax_problem(error: Exception, sql: str) -> SqlProblem:
    said = getattr(error, "errors", None) or [{}]
    line, column = said[0].get("line") or sql.count("\n") + 1, said[0].get("col") or 1
    return SqlProblem(line, column, f"syntax error: {said[0].get('description') or error}", "correct the SQL")
