"""One BigQuery SELECT to one DuckDB SELECT, faithfully or not at all."""

import re
from collections.abc import Callable, Mapping

import sqlglot
from sqlglot import exp

from convergence_assets.warehouse.duckdb import arrays, coercion, functions, limbs
from convergence_assets.warehouse.duckdb.kinds import Kinds
from convergence_assets.warehouse.duckdb.numeric import install_functions
from convergence_assets.warehouse.duckdb.portability import SqlProblem, UnportableSQL, parse, position, problems_of
from convergence_assets.warehouse.schema import Column

__all__ = ["SqlProblem", "UnportableSQL", "duckdb_type", "install_functions", "portability_problems", "to_sql",
           "transpile", "transpile_tree"]  # fmt: skip

Types = Mapping[str, Mapping[str, Column]]

_DECIMALS = {exp.DataType.Type.DECIMAL: "numeric", exp.DataType.Type.BIGDECIMAL: "bignumeric"}
_TYPES = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "NUMERIC": "DECIMAL(38,9)",
    "BIGNUMERIC": limbs.TYPE,
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "TIME": "TIME",
    "BYTES": "BLOB",
    "JSON": "JSON",
}


def duckdb_type(column: Column) -> str:
    """A declared column's DuckDB type."""
    if column.type == "RECORD":
        kind = "STRUCT(" + ", ".join(f'"{f.name}" {duckdb_type(f)}' for f in column.fields) + ")"
    else:
        kind = _TYPES[column.type]
    return f"{kind}[]" if column.mode == "REPEATED" else kind


def portability_problems(sql: str, types: Types | None = None) -> tuple[SqlProblem, ...]:
    """What keeps a SELECT from running alike on both engines; empty when nothing does.

    `types` are the declared columns by bare table name; with them more NUMERIC arithmetic can be told apart.
    """
    try:
        tree = parse(sql)
    except UnportableSQL as error:
        return error.problems
    problems = list(problems_of(tree))
    if not problems:
        _rewrite(tree, types or {}, problems)
    return tuple(sorted(problems, key=lambda p: (p.line, p.column)))


def transpile_tree(sql: str, types: Types | None = None) -> exp.Expr:
    """The statement as a tree for DuckDB, tables still named as written. Raises `UnportableSQL`."""
    tree = parse(sql)
    problems = list(problems_of(tree))
    if not problems:
        tree = _rewrite(tree, types or {}, problems)
    if problems:
        raise UnportableSQL(tuple(problems))
    arrays.fold(tree)
    _name_columns(tree)
    return tree


def _name_columns(tree: exp.Expr) -> None:
    """Give the result's unnamed columns the names that BigQuery gives them: f0_, f1_ and so on."""
    while isinstance(tree, exp.SetOperation | exp.Subquery):
        tree = tree.this
    selected = tree.args.get("expressions") or []
    unnamed = [one for one in selected if not isinstance(one, exp.Alias | exp.Column | exp.Dot | exp.Star)]
    for number, one in enumerate(unnamed):
        one.replace(exp.alias_(one.copy(), f"f{number}_"))


def to_sql(tree: exp.Expr, *, pretty: bool = False) -> str:
    """The text of a tree from `transpile_tree`."""
    return tree.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE, pretty=pretty)


def transpile(sql: str, types: Types | None = None) -> str:
    """BigQuery text to DuckDB text; `@name` becomes `$name`. Raises `UnportableSQL`."""
    return to_sql(transpile_tree(sql, types))


def _rewrite(tree: exp.Expr, types: Types, problems: list[SqlProblem]) -> exp.Expr:
    kinds = Kinds(tree, types)
    if kinds.has_bignumeric:
        problems += coercion.write_out(tree, kinds)
        kinds = Kinds(tree, types)
    for joined in list(tree.find_all(exp.Concat, exp.DPipe)):
        for part in joined.expressions if isinstance(joined, exp.Concat) else (joined.this, joined.expression):
            if kinds.of(part) != "string" and not isinstance(part, exp.Null):
                part.replace(exp.cast(part.copy(), exp.DataType.Type.TEXT))
    # Kinds are asked of the nodes as written, so all are decided before the first node is replaced.
    decided = [(node, _decide(node, kinds, problems)) for node in tree.walk(bfs=False)]
    for node, call in reversed(decided):
        if call is None:
            made = functions.replacement(node)
            if made is not None:
                node.replace(made)
        elif call in _OF_PARTS or call.startswith("bq_total"):
            _replace_aggregate(node, call)
        else:
            node.replace(_replacement(node, call))
    return tree


def _decide(node: exp.Expr, kinds: Kinds, problems: list[SqlProblem]) -> str | None:
    """The macro that takes a node's place, "literal" for a bare FLOAT64, None to leave it."""
    match node:
        case exp.Literal() if not node.is_string and not node.is_int and not _made_numeric(node):
            return "double"
        case exp.Cast() if node.to.this in _DECIMALS and _is_number(node.this) and not isinstance(node, exp.TryCast):
            return f"{_DECIMALS[node.to.this]}_literal"
        case exp.Cast() if node.to.this in _DECIMALS:
            operation = _DECIMALS[node.to.this]
            safe = "safe_" if isinstance(node, exp.TryCast) else ""
            return _pick(f"{safe}{operation}", kinds.of(node.this), node, problems)
        case exp.Cast() if node.to.this == exp.DataType.Type.DOUBLE and kinds.may_be_bignumeric(node.this):
            return _pick("float64", kinds.of(node.this), node, problems)
        case exp.Cast() if node.to.this == exp.DataType.Type.BIGINT:
            kind = kinds.of(node.this)
            if kind == "other":
                return None
            return _pick("safe_int64" if isinstance(node, exp.TryCast) else "int64", kind, node, problems)
        case exp.Cast() if node.to.this in (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR):
            return _text(node, kinds.of(node.this), problems)
        case exp.Cast(this=exp.Null()) if node.to.this == exp.DataType.Type.BOOLEAN:
            return None
        case exp.Cast() if node.to.this == exp.DataType.Type.BOOLEAN and kinds.of(node.this) != "int64":
            message = "CAST AS BOOL takes more spellings on the embedded engine"
            problems.append(_problem(node, message, "compare with 'true'"))
        case exp.Mul():
            kind = kinds.together([node.left, node.right])
            return None if kind == "float64" else _pick("multiply", kind, node, problems)
        case exp.Div() | exp.SafeDivide():
            kind = kinds.together([node.this, node.expression])
            kind = "float64" if kind == "int64" else kind
            return _pick("divide" if isinstance(node, exp.Div) else "safe_divide", kind, node, problems)
        case exp.Add() | exp.Sub() | exp.Neg() | exp.Abs() if kinds.of(node) == "bignumeric":
            return f"bq_{node.key}_bignumeric"
        case exp.Between() if kinds.of(node.this) == "bignumeric":
            return "between"
        case exp.IntDiv() | exp.Mod():
            kind = kinds.together([node.this, node.expression])
            return _pick("div" if isinstance(node, exp.IntDiv) else "mod", kind, node, problems)
        case exp.Round():
            kind = kinds.of(node.this)
            return _pick("round", "float64" if kind == "int64" else kind, node, problems)
        case exp.Ceil() | exp.Floor() | exp.Sign():
            kind = kinds.of(node.this)
            name = node.key
            return _pick(name, "float64" if kind == "int64" and name != "sign" else kind, node, problems)
        case exp.Sum():
            kind = kinds.of(node.this)
            return f"bq_total_{kind}" if kind in ("bignumeric", "numeric", "int64", "float64") else "bq_total"
        case exp.Literal() if node.is_int and isinstance(node.parent, exp.Add | exp.Sub):
            return "int64_literal" if kinds.together([node.parent.left, node.parent.right]) == "int64" else None
        case exp.JSONFormat() if (
            node.args.get("options")
            or isinstance(node.this, exp.Array | exp.Struct)
            or kinds.of(node.this) not in ("string", None)
        ):
            message = "TO_JSON_STRING of anything but a STRING is not verified to answer alike"
            problems.append(_problem(node, message, "write it of a STRING, without options"))
        case exp.Avg():
            kind = kinds.of(node.this)
            if kind is None:
                problems.append(_untold(node, "AVG"))
            return f"bq_average_{kind}" if kind in ("bignumeric", "numeric") else None
    return None


def _text(node: exp.Expr, kind: str | None, problems: list[SqlProblem]) -> str | None:
    if isinstance(node.this, exp.Null) or kind == "string":
        return None
    if kind == "float64":
        problems.append(_problem(node, "a FLOAT64 as text is spelled differently", "write CAST(... AS NUMERIC) in it"))
    elif kind not in ("bignumeric", "numeric", "int64") and node.this.find(exp.AggFunc, exp.Window):
        message = "the type of an aggregate made text cannot be told"
        problems.append(_problem(node, message, "use FORMAT_DATE or MAX(CAST(... AS STRING))"))
    return f"bq_string_{kind}" if kind in ("bignumeric", "numeric") else "bq_text"


def _pick(operation: str, kind: str | None, node: exp.Expr, problems: list[SqlProblem]) -> str | None:
    if kind == "other":
        problems.append(_untold(node, operation.upper()))
        return None
    if kind is not None:
        return f"bq_{operation}_{kind}"
    operands = [n for n in (node.this, node.args.get("expression")) if n is not None]
    if any(o.find(exp.AggFunc, exp.Window) for o in operands):
        problems.append(_untold(node, operation.upper()))
    return f"bq_{operation}"


def _problem(node: exp.Expr, message: str, remedy: str) -> SqlProblem:
    line, column = position(node)
    return SqlProblem(line, column, message, remedy)


def _untold(node: exp.Expr, operation: str) -> SqlProblem:
    return _problem(
        node,
        f"{operation}: it cannot be told whether an operand is NUMERIC or FLOAT64",
        "write CAST(... AS NUMERIC) or CAST(... AS FLOAT64) around the operand",
    )


def _replacement(node: exp.Expr, call: str) -> exp.Expr:
    if call == "double":
        return exp.cast(exp.Literal.string(node.this), exp.DataType.Type.DOUBLE)
    if call == "int64_literal":
        return exp.cast(node.copy(), exp.DataType.Type.BIGINT)
    if call in ("numeric_literal", "bignumeric_literal"):
        text = exp.Literal.string(node.this.sql(dialect="bigquery").strip("'"))
        if call == "bignumeric_literal":
            return exp.Anonymous(this="bq_bignumeric_string", expressions=[text])
        return exp.cast(text, exp.DataType.build("DECIMAL(38,9)", dialect="duckdb"))
    if call == "between":
        # DuckDB has no BETWEEN of a STRUCT.
        bounds = ((exp.GTE, node.args["low"]), (exp.LTE, node.args["high"]))
        return exp.paren(exp.and_(*(test(this=node.this.copy(), expression=bound.copy()) for test, bound in bounds)))
    operands = [node.this]
    if isinstance(node, exp.Round):
        operands.append(node.args.get("decimals") or exp.Literal.number(0))
    elif node.args.get("expression") is not None:
        operands.append(node.expression)
    return exp.Anonymous(this=call, expressions=[o.copy() for o in operands])


def _replace_aggregate(node: exp.Expr, call: str) -> None:
    """Put the call over an aggregate's parts, each in the aggregate's window where it has one."""
    window = node.parent if isinstance(node.parent, exp.Window) and node.arg_key == "this" else None
    parts = _OF_PARTS[call](node.this) if call in _OF_PARTS else [node.copy()]
    if window is not None:
        parts = [_in_window(window, part) for part in parts]
    (node if window is None else window).replace(exp.Anonymous(this=call, expressions=parts))


def _in_window(window: exp.Expr, part: exp.Expr) -> exp.Expr:
    placed = window.copy()
    placed.set("this", part)
    return placed


def _sums_of_words(value: exp.Expr) -> list[exp.Expr]:
    names = map(exp.Literal.string, limbs.WORDS)
    words = (exp.Anonymous(this="struct_extract", expressions=[value.copy(), name]) for name in names)
    return [exp.Sum(this=word) for word in words]


_OF_PARTS: dict[str, Callable[[exp.Expr], list[exp.Expr]]] = {
    "bq_total_bignumeric": _sums_of_words,
    "bq_average_bignumeric": lambda value: [*_sums_of_words(value), exp.Count(this=value.copy())],
    "bq_average_numeric": lambda value: [exp.Sum(this=value.copy()), exp.Count(this=value.copy())],
}


def _is_number(node: exp.Expr) -> bool:
    inner = node.this if isinstance(node, exp.Neg) else node
    return isinstance(inner, exp.Literal) and bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", inner.name))


def _made_numeric(literal: exp.Expr) -> bool:
    parent = literal.parent
    cast = parent.parent if isinstance(parent, exp.Neg) else parent
    return isinstance(cast, exp.Cast) and not isinstance(cast, exp.TryCast) and cast.to.this in _DECIMALS
