"""BIGNUMERIC beside other types: BigQuery's implicit coercions written out as CASTs, everything else refused.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#coercion
"""

from collections.abc import Iterator

from sqlglot import exp

from convergence_assets.warehouse.duckdb.kinds import Kinds
from convergence_assets.warehouse.duckdb.portability import SqlProblem, position

_TWO = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.SafeDivide, exp.IntDiv, exp.Mod, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT,
    exp.LTE, exp.Nullif,
)  # fmt: skip
_MANY = (exp.Coalesce, exp.Greatest, exp.Least)
_SINGLE = (exp.Sum, exp.Avg, exp.Round, exp.Ceil, exp.Floor, exp.Sign, exp.Abs, exp.Neg)
_CAST_TO = (
    exp.DataType.Type.DECIMAL, exp.DataType.Type.BIGDECIMAL, exp.DataType.Type.DOUBLE, exp.DataType.Type.BIGINT,
    exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR,
)  # fmt: skip
# What takes a BIGNUMERIC and answers exactly; a SELECT, a subquery in FROM and the like only hand it on.
_TAKES = (
    *_TWO, *_MANY, *_SINGLE, exp.Between, exp.In, exp.Is, exp.Case, exp.If, exp.Array, exp.Struct, exp.PropertyEQ,
    exp.Min, exp.Max, exp.AnyValue, exp.Count, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.IgnoreNulls,
    exp.Window, exp.Ordered, exp.Group, exp.Paren, exp.Alias, exp.Select, exp.Subquery, exp.CTE, exp.From, exp.Join,
    exp.SetOperation, exp.Exists, exp.Dot, exp.Unnest, exp.ArraySize, exp.Bracket,
)  # fmt: skip
_NUMBERS = {"bignumeric", "numeric", "int64", "float64"}
_UNTOLD = (
    "it cannot be told whether an operand is BIGNUMERIC",
    "write CAST(... AS BIGNUMERIC), CAST(... AS NUMERIC) or CAST(... AS FLOAT64) around the operand",
)


def write_out(tree: exp.Expr, kinds: Kinds) -> list[SqlProblem]:
    """Put the CASTs into the tree, in place, and give a problem for each use that has no exact form."""
    problems = [refused for node in tree.walk(bfs=False) if (refused := _refused(node, kinds))]
    for node in reversed(list(tree.walk(bfs=False))):
        for operands in _groups(node):
            problem = _unify(operands, kinds)
            if problem:
                problems.append(SqlProblem(*position(node), *problem))
    return problems


def _groups(node: exp.Expr) -> Iterator[list[exp.Expr]]:
    """The operands of a node that BigQuery brings to one type."""
    match node:
        case exp.SetOperation():
            yield from map(list, zip(*map(_outputs, _branches(node)), strict=False))
        case exp.Between():
            yield [node.this, node.args["low"], node.args["high"]]
        case exp.In():
            yield [node.this, *_members(node)]
        case exp.Case():
            yield [i.args["true"] for i in node.args["ifs"]] + _given(node, "default")
            if node.this:
                yield [node.this, *(i.this for i in node.args["ifs"])]
        case exp.If() if not isinstance(node.parent, exp.Case):
            yield _given(node, "true", "false")
        case exp.Array():
            yield [e for e in node.expressions if not isinstance(e, exp.Query)]
        case exp.Lag() | exp.Lead():
            yield _given(node, "this", "default")
        case _ if isinstance(node, _TWO):
            yield [node.this, node.expression]
        case _ if isinstance(node, _MANY):
            yield [node.this, *node.expressions]
        case _ if isinstance(node, _SINGLE):
            yield [node.this]


def _unify(operands: list[exp.Expr], kinds: Kinds) -> tuple[str, str] | None:
    told = [(o, kinds.of(o)) for o in operands if not isinstance(o, exp.Null)]
    found = {kind for _, kind in told}
    if None in found:
        return _UNTOLD if any(kinds.may_be_bignumeric(o) for o in operands) else None
    if "bignumeric" not in found or len(found) == 1:
        return None
    if not found <= _NUMBERS:
        return "a BIGNUMERIC beside another type is an error on BigQuery", "CAST one of them"
    if any(_is_literal(o) for o, kind in told if kind == "float64"):
        return "a FLOAT64 literal beside a BIGNUMERIC is not verified", "write BIGNUMERIC '...'"
    for operand, kind in told:
        if "float64" in found and kind == "bignumeric":
            _cast(operand, "FLOAT64")
        elif "float64" not in found and kind != "bignumeric":
            _cast(operand, "BIGNUMERIC")
    return None


def _is_literal(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) or (isinstance(node, exp.Paren | exp.Neg) and _is_literal(node.this))


def _cast(operand: exp.Expr, to: str) -> None:
    made: exp.Expr = exp.cast(operand.copy(), to, dialect="bigquery")
    if isinstance(operand.parent, exp.Select) and isinstance(operand, exp.Column | exp.Dot):
        made = exp.alias_(made, operand.name)
    operand.replace(made)


def _refused(node: exp.Expr, kinds: Kinds) -> SqlProblem | None:
    parent = node.parent
    if parent is None or isinstance(node, exp.Identifier | exp.Query) or not kinds.may_be_bignumeric(node):
        return None
    match parent:
        case exp.Cast():
            taken = parent.to.this in _CAST_TO
        case exp.Distinct():
            taken = isinstance(parent.parent, exp.Count | exp.Select | exp.Min | exp.Max)
        case exp.Concat() | exp.DPipe():
            taken = True
        case _:
            taken = isinstance(parent, _TAKES)
    if taken:
        return None
    name = parent.key.upper()
    message = f"{name} of a BIGNUMERIC has no exact form on the embedded engine"
    return SqlProblem(*position(node), message, "CAST it AS NUMERIC, FLOAT64 or STRING in it")


def _branches(query: exp.Expr) -> list[exp.Expr]:
    if isinstance(query, exp.SetOperation):
        return [*_branches(query.left), *_branches(query.right)]
    return _branches(query.this) if isinstance(query, exp.Subquery) else [query]


def _outputs(select: exp.Expr) -> list[exp.Expr]:
    outputs = [e.unalias() for e in select.expressions]
    return [] if any(e.is_star for e in outputs) else outputs


def _members(node: exp.In) -> list[exp.Expr]:
    """What IN compares with: a list, the columns of a SELECT or the elements of an array."""
    query, unnest = node.args.get("query"), node.args.get("unnest")
    if query:
        return [output for branch in _branches(query) for output in _outputs(branch)]
    if unnest:
        [array] = unnest.expressions
        return list(array.expressions) if isinstance(array, exp.Array) else [array]
    return list(node.expressions)


def _given(node: exp.Expr, *names: str) -> list[exp.Expr]:
    return [node.args[name] for name in names if node.args.get(name)]
