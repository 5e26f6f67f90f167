"""Expressions of the resolved tree as DuckDB's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from convergence_assets.warehouse.duckdb.generator import casting, functions, json_values
from convergence_assets.warehouse.duckdb.generator.calls import Argument, Call, once
from convergence_assets.warehouse.duckdb.generator.literals import literal_of, value_of
from convergence_assets.warehouse.duckdb.generator.names import column_name
from convergence_assets.warehouse.duckdb.generator.nodes import Fields, Unsupported, chosen, reading
from convergence_assets.warehouse.duckdb.generator.types import field_names, fields_of
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of

_LONGEST = 1_000_000
"""Characters of an expression: one that is written many times within others grows with a power of their depth."""
TEMPORARY = "temporary:"
"""What the name of a function begins with that the statement makes itself."""


class Expressions:
    """Writes expressions; `subqueries` writes a subquery, given its node's fields, `temporary` are
    functions that the statement makes itself, by name."""

    def __init__(self, subqueries: Callable[[Fields, Any], str], temporary: Mapping[str, Any]) -> None:
        self._subqueries = subqueries
        self._temporary = temporary
        self._arguments: dict[str, str] = {}
        self._bound: dict[int, str] = {}

    @contextmanager
    def bound(self, columns: Mapping[int, str]) -> Iterator[None]:
        """While the block runs, these columns (by their numbers) are written as other texts."""
        before = self._bound
        self._bound = {**before, **columns}
        try:
            yield
        finally:
            self._bound = before

    def sql(self, expression: Any) -> str:
        """The text of an `AnyResolvedExpr`."""
        return self.argument(expression).sql

    def argument(self, expression: Any) -> Argument:
        """An expression with its type, and its value where it is a literal."""
        result = self._argument(expression)
        if len(result.sql) > _LONGEST:
            raise Unsupported("the expression is too long for the embedded engine", "compute its parts in a subquery")
        return result

    def _argument(self, expression: Any) -> Argument:
        name, node = chosen(expression)
        kind = type_of(node)
        with reading(_shown(name), node) as fields:
            match name:
                case "literal":
                    value = fields.need("value")
                    if kind_of(kind) == "ENUM":
                        return Argument("", kind, True, enum_value(kind, value.value))
                    literal_value = None if kind_of(kind) in ("ARRAY", "STRUCT") else value_of(kind, value.value)
                    return Argument(literal_of(kind, value.value), kind, True, literal_value)
                case "argument_ref":
                    fields.take("argument_kind")
                    return Argument(self._arguments[fields.need("name")], kind)
                case "parameter":
                    return Argument(f"${fields.need('name')}", kind)
                case "column_ref":
                    column = fields.need("column")
                    return Argument(self._bound.get(column.column_id) or column_name(column), kind)
                case "cast":
                    return Argument(self._cast(fields, kind), kind)
                case "function_call":
                    return Argument(self._call(fields, kind), kind)
                case "make_struct":
                    pairs = zip(field_names(kind), fields.take("field_list", ()), strict=True)
                    packed = ", ".join(f"{quoted(n)} := {self.sql(of)}" for n, of in pairs)
                    return Argument(f"struct_pack({packed})", kind)
                case "get_struct_field":
                    of = self.argument(fields.need("expr"))
                    at = fields.take("field_idx", 0)
                    return Argument(f"({of.sql}).{quoted(fields_of(of.type)[at][0])}", kind)
                case "subquery_expr":
                    return Argument(self._subqueries(fields, kind), kind)
                case "get_json_field":
                    of = self.argument(fields.need("expr"))
                    return Argument(json_values.json_field(of.sql, fields.need("field_name")), kind)
                case "with_expr":
                    return Argument(self._with(fields), kind)
        raise Unsupported(f"{_shown(name)} has no form on the embedded engine", "write it in another way")

    def _with(self, fields: Fields) -> str:
        # Each name is one column of a derived row, so that its expression is evaluated once.
        source = "(SELECT 1)"
        for computed in fields.take("assignment_list", ()):
            with reading("WITH", computed) as one:
                source = f"(SELECT *, {self.sql(one.need('expr'))} AS {column_name(one.need('column'))} FROM {source})"
        return f"(SELECT {self.sql(fields.need('expr'))} FROM {source})"

    def _cast(self, fields: Fields, kind: Any) -> str:
        of = self.argument(fields.need("expr"))
        safe = bool(fields.take("return_null_on_error", False))
        pattern = fields.take("format")
        zone = fields.take("time_zone")
        modifiers = fields.take("type_modifiers")
        converted = casting.cast(
            of, kind, safe=safe, pattern=self.argument(pattern) if pattern is not None else None,
            zone=self.argument(zone) if zone is not None else None,
        )  # fmt: skip
        return casting.with_parameters(converted, kind, modifiers, safe=safe) if modifiers is not None else converted

    def _call(self, fields: Fields, kind: Any) -> str:
        name = function_name(fields)
        safe = fields.take("error_mode", 0) == 1
        fields.take("signature")
        if name.startswith(TEMPORARY):
            return self._of_temporary(name.removeprefix(TEMPORARY), fields.take("argument_list", ()), safe=safe)
        arguments = tuple(self.argument(a) for a in fields.take("argument_list", ()))
        generic = fields.take("generic_argument_list", ())
        if generic:
            arguments = tuple(self._generic(g) for g in generic)
        if not safe:
            return functions.SCALAR.form(Call(name, arguments, kind))

        def body(operands: Sequence[str]) -> str:
            bound_arguments = tuple(replace(a, sql=text) for a, text in zip(arguments, operands, strict=True))
            return f"TRY({functions.SCALAR.form(Call(name, bound_arguments, kind))})"

        return once([a.sql for a in arguments], body)

    def _of_temporary(self, name: str, nodes: Any, *, safe: bool) -> str:
        """The body of a temporary function over its arguments."""
        function = self._temporary[name]
        texts = [self.sql(argument) for argument in nodes]
        before = self._arguments

        def body(arguments: Sequence[str]) -> str:
            self._arguments = dict(zip(function.argument_name_list, arguments, strict=True))
            try:
                written = self.sql(function.function_expression)
                return f"TRY({written})" if safe else written
            finally:
                self._arguments = before

        return once(texts, body)

    def _generic(self, argument: Any) -> Argument:
        """An argument of a function that may take a lambda."""
        with reading("an argument", argument) as fields:
            expression, inline = fields.take("expr"), fields.take("inline_lambda")
            if expression is not None:
                return self.argument(expression)
            if inline is None:
                raise Unsupported("this kind of argument has no form on the embedded engine", "write an expression")
        with reading("a lambda", inline) as fields:
            columns = fields.take("argument_list", ())
            names = [column_name(c) for c in columns]
            body = self.argument(fields.need("body"))
        return Argument(f"lambda {', '.join(names)}: {body.sql}", body.type)


def function_name(fields: Fields) -> str:
    """The name of the function that a call names, in lower case."""
    return str(fields.need("function").name).removeprefix("ZetaSQL:").lower()


def type_of(node: Any) -> Any:
    """The type of an expression's node."""
    while "type" not in node.DESCRIPTOR.fields_by_name:
        node = node.parent
    return node.type


def enum_value(kind: Any, value: Any) -> str:
    """The name of an enum's value, such as a date part: DAY, ISOWEEK, WEEK_MONDAY."""
    from google.protobuf import descriptor_pool
    from zetasql.wasi._pb2.zetasql.public.functions import (  # noqa: F401
        array_zip_mode_pb2,
        datetime_pb2,
        normalize_mode_pb2,
        rounding_mode_pb2,
    )

    enum = descriptor_pool.Default().FindEnumTypeByName(kind.enum_type.enum_name)
    return str(enum.values_by_number[value.enum_value].name)


def _shown(name: str) -> str:
    return {"function_call": "a function", "cast": "CAST", "subquery_expr": "a subquery"}.get(
        name, name.replace("_", " ")
    )
