"""Which number an expression is, or a STRING, as far as its text and the declared columns tell."""

from collections.abc import Iterable, Mapping

from sqlglot import exp

from convergence_assets.warehouse.schema import Column

Kind = str  # "bignumeric" | "numeric" | "float64" | "int64" | "string" | "other"

_DECLARED = {
    "BIGNUMERIC": "bignumeric", "NUMERIC": "numeric", "FLOAT64": "float64", "INT64": "int64", "STRING": "string",
}  # fmt: skip
_CAST = {
    exp.DataType.Type.BIGDECIMAL: "bignumeric",
    exp.DataType.Type.DECIMAL: "numeric",
    exp.DataType.Type.DOUBLE: "float64",
    exp.DataType.Type.FLOAT: "float64",
    exp.DataType.Type.BIGINT: "int64",
    exp.DataType.Type.INT: "int64",
    exp.DataType.Type.TEXT: "string",
    exp.DataType.Type.VARCHAR: "string",
}
_SAME_AS_FIRST = (
    exp.Sum, exp.Min, exp.Max, exp.AnyValue, exp.Abs, exp.Neg, exp.Paren, exp.Window, exp.Filter, exp.Distinct,
    exp.Nullif, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.IgnoreNulls,
    exp.Sign,
)  # fmt: skip
_INTEGERS = (
    exp.Count, exp.CountIf, exp.Length, exp.Extract, exp.DateDiff, exp.TimestampDiff, exp.RowNumber, exp.Rank,
    exp.DenseRank, exp.ApproxDistinct, exp.ArraySize,
)  # fmt: skip
_STRINGS = (
    exp.Concat, exp.GroupConcat, exp.DPipe, exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.RegexpExtract,
    exp.TimeToStr, exp.Hex, exp.JSONFormat,
)  # fmt: skip
_OTHERS = (
    exp.Date, exp.TsOrDsToDate, exp.TimestampTrunc, exp.DateTrunc, exp.DateAdd, exp.DateSub, exp.TimestampAdd,
    exp.TimestampSub, exp.Timestamp, exp.LogicalOr, exp.LogicalAnd, exp.Boolean, exp.Predicate, exp.CurrentDate,
    exp.CurrentTimestamp, exp.StrToDate, exp.LastDay, exp.SHA2, exp.SHA2Digest, exp.MD5Digest,
)  # fmt: skip
# What may hand a value on to its result; a value under anything else (a comparison, a STRUCT) stays there.
_HANDS_ON = (
    *_SAME_AS_FIRST, exp.Avg, exp.Round, exp.Ceil, exp.Floor, exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Div,
    exp.SafeDivide, exp.IntDiv, exp.Coalesce, exp.Greatest, exp.Least, exp.If, exp.Case, exp.Subquery, exp.Select,
    exp.Alias, exp.Array, exp.Bracket,
)  # fmt: skip


class Kinds:
    """Kinds of the expressions of one statement.

    A column is known when every column of that name that the statement could mean (declared ones, members of
    records, outputs of its subqueries) has one kind: then the real one has it too.
    """

    def __init__(self, tree: exp.Expr, types: Mapping[str, Mapping[str, Column]]) -> None:
        self._named: dict[str, list[Kind | exp.Expr]] = {}
        made = {cte.alias for cte in tree.find_all(exp.CTE)}
        self._closed = all(table.name in types or table.name in made for table in tree.find_all(exp.Table))
        for columns in types.values():
            self._declare(columns.values())
        for select in tree.find_all(exp.Select):
            for projection in select.expressions:
                if isinstance(projection, exp.Alias):
                    self._named.setdefault(projection.alias.lower(), []).append(projection.this)
        for named in tree.find_all(exp.PropertyEQ):
            self._named.setdefault(named.name.lower(), []).append(named.expression)
        for unnest in tree.find_all(exp.Unnest):
            self._name_elements(unnest)
        self._known: dict[str, Kind | None] = {}
        cast = any(kind.this == exp.DataType.Type.BIGDECIMAL for kind in tree.find_all(exp.DataType))
        self.has_bignumeric = cast or any("bignumeric" in said for said in self._named.values())

    def of(self, node: exp.Expr | None) -> Kind | None:
        """The kind, None where it cannot be told."""
        if node is None or isinstance(node, exp.Null):
            return None
        if isinstance(node, exp.Literal):
            if node.is_string:
                return "string"
            return "int64" if node.is_int else "float64"
        if isinstance(node, exp.Cast):
            return _CAST.get(node.to.this, "other")
        if isinstance(node, _OTHERS):
            return "other"
        if isinstance(node, exp.Column | exp.Dot):
            return self._column(node.name.lower())
        if isinstance(node, exp.Identifier):
            return self._column(node.name.lower())
        if isinstance(node, exp.Avg):
            inner = self.of(node.this)
            return "float64" if inner == "int64" else inner
        if isinstance(node, exp.Round | exp.Ceil | exp.Floor):
            inner = self.of(node.this)
            return "float64" if inner == "int64" else inner
        if isinstance(node, exp.Nullif) and "bignumeric" in (self.of(node.this), self.of(node.expression)):
            return self.together([node.this, node.expression])
        if isinstance(node, _SAME_AS_FIRST):
            return self.of(next(iter(node.expressions), None) if isinstance(node, exp.Distinct) else node.this)
        if isinstance(node, _INTEGERS):
            return "int64"
        if isinstance(node, _STRINGS):
            return "string"
        if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Mod):
            return self.together([node.left, node.right])
        if isinstance(node, exp.Div | exp.SafeDivide):
            both = self.together([node.this, node.expression])
            return "float64" if both == "int64" else both
        if isinstance(node, exp.IntDiv):
            return self.together([node.this, node.expression])
        if isinstance(node, exp.Coalesce | exp.Greatest | exp.Least):
            return self.together([node.this, *node.expressions])
        if isinstance(node, exp.If):
            return self.together([node.args.get("true"), node.args.get("false")])
        if isinstance(node, exp.Case):
            return self.together([*(i.args["true"] for i in node.args["ifs"]), node.args.get("default")])
        if isinstance(node, exp.Subquery):
            return self.of(node.this)
        if isinstance(node, exp.Select) and len(node.expressions) == 1:
            return self.of(node.expressions[0].unalias())
        return None

    def together(self, nodes: Iterable[exp.Expr | None]) -> Kind | None:
        """The kind that BigQuery coerces these to; NULL says nothing."""
        kinds = [self.of(n) for n in nodes if n is not None and not isinstance(n, exp.Null)]
        if not kinds or None in kinds:
            return None
        if len(set(kinds)) == 1:
            return kinds[0]
        widest = next((k for k in ("float64", "bignumeric", "numeric") if k in kinds), "other")
        return widest if set(kinds) <= {"bignumeric", "numeric", "int64", "float64"} else "other"

    def may_be_bignumeric(self, node: exp.Expr) -> bool:
        """Whether it is one, or cannot be told and comes of a column of that kind."""
        if not self.has_bignumeric:
            return False
        kind = self.of(node)
        if kind is not None:
            return kind == "bignumeric"
        if isinstance(node, exp.Column | exp.Dot):
            return self._may_name(node.name.lower())
        return isinstance(node, _HANDS_ON) and any(map(self.may_be_bignumeric, node.iter_expressions()))

    def _may_name(self, name: str) -> bool:
        said = self._named.pop(name, [])
        may = any(k == "bignumeric" if isinstance(k, str) else self.may_be_bignumeric(k) for k in said)
        self._named[name] = said
        return may

    def _name_elements(self, unnest: exp.Unnest) -> None:
        alias = unnest.args.get("alias")
        for name in alias.args.get("columns") or [] if alias else []:
            for array in unnest.expressions:
                elements = array.expressions if isinstance(array, exp.Array) else [array]
                self._named.setdefault(name.name.lower(), []).extend(elements)

    def _declare(self, columns: Iterable[Column]) -> None:
        for column in columns:
            self._named.setdefault(column.name.lower(), []).append(_DECLARED.get(column.type, "other"))
            self._declare(column.fields)

    def _column(self, name: str) -> Kind | None:
        if not self._closed or name not in self._named:
            return None
        if name not in self._known:
            # A name that is defined by itself (SUM(x) AS x) is looked at with its other meanings alone.
            self._known[name] = None
            said = self._named.pop(name)
            self._named[name] = [k for k in said if isinstance(k, str)]
            told = {k if isinstance(k, str) else self._inner(k, name) for k in said}
            self._named[name] = said
            told.discard("itself")
            self._known[name] = told.pop() if len(told) == 1 else None
        return self._known[name]

    def _inner(self, node: exp.Expr, name: str) -> Kind | None:
        declared = {k for k in self._named[name] if isinstance(k, str)}
        mentions = any(c.name.lower() == name for c in node.find_all(exp.Column))
        if not mentions:
            return self.of(node)
        if len(declared) != 1:
            return None
        self._known[name] = next(iter(declared))
        kind = self.of(node)
        self._known[name] = None
        return kind
