"""A column of a file as SQL: the value that goes into the table, and what is wrong where there is none."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.duckdb.reading import grammar
from convergence_assets.warehouse.duckdb.reading.forms import Form, Leaf, leaf
from convergence_assets.warehouse.schema import Column

_ALARM = "error('unreadable')"
_SEPARATOR = "|"


@dataclass(frozen=True)
class Place:
    """A column, or a member of one, whose values may be wrong; `path` is dotted."""

    path: str
    column: Column


@dataclass
class Casts:
    """The SQL of a table's columns over what a file holds; `rounds` are the dotted paths, in lower case, to round."""

    rounds: frozenset[str] = frozenset()
    places: list[Place] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def prepared(self, column: Column, form: Form, raw: str) -> str:
        """What an inner SELECT makes of what the file holds, so that it is computed once."""
        if column.type == "RECORD" or column.mode == "REPEATED":
            return raw if _suits(column, form) else f"CAST({raw} AS VARCHAR)"
        return self._leaf(column, form, column.name.lower()).prepare(raw)

    def value(self, column: Column, form: Form, prepared: str) -> str:
        """The column's value from what `prepared` gave; an error in the engine where there is none."""
        if column.type != "RECORD" and column.mode != "REPEATED":
            return self._alarmed(column, self._leaf(column, form, column.name.lower()).finish(prepared), prepared)
        return self._value(column, form, prepared, column.name.lower())

    def problem(self, column: Column, form: Form, prepared: str) -> str:
        """`<place>|<text>` of the first value that does not fit, `<place>` where one is missing, else NULL."""
        if column.type != "RECORD" and column.mode != "REPEATED":
            way = self._leaf(column, form, column.name.lower())
            return self._leaf_problem(column, way, prepared, column.name)
        return self._problem(column, form, prepared, column.name)

    def rounding(self, column: Column, form: Form, prepared: str) -> str:
        """How many values of the column in this row are rounded."""
        return self._rounding(column, form, prepared, column.name.lower(), at_top=True)

    def _leaf(self, column: Column, form: Form, path: str) -> Leaf:
        return leaf(column, form, rounds=path in self.rounds)

    def _alarmed(self, column: Column, cast_sql: str, raw: str) -> str:
        alarm = _ALARM if column.mode == "REQUIRED" else f"CASE WHEN {raw} IS NOT NULL THEN {_ALARM} END"
        return f"coalesce({cast_sql}, {alarm})"

    def _value(self, column: Column, form: Form, raw: str, path: str) -> str:
        if not _suits(column, form):
            return self._alarmed(column, f"CAST(NULL AS {duckdb_type(column)})", raw)
        if column.mode == "REPEATED":
            assert form.element
            element = f'"its e{next(self._numbers)}"'
            element_value = self._value(_element(column), form.element, element, path)
            return f"coalesce(list_transform({raw}, lambda {element}: {element_value}), [])"
        if column.type == "RECORD":
            members = ", ".join(
                f"{quoted(f.name)} := {self._value(f, inner, member, f'{path}.{f.name.lower()}')}"
                for f, inner, member in _members(column, form, raw)
            )
            absent = _ALARM if column.mode == "REQUIRED" else "NULL"
            return f"CASE WHEN {raw} IS NULL THEN {absent} ELSE struct_pack({members}) END"
        way = self._leaf(column, form, path)
        text = f'"its t{next(self._numbers)}"'
        return _bound(text, way.prepare(raw), self._alarmed(column, way.finish(text), text))

    def _problem(self, column: Column, form: Form, raw: str, path: str) -> str:
        if not _suits(column, form):
            way = Leaf(lambda x: f"CAST({x} AS VARCHAR)", lambda t: "NULL", lambda t: f"CAST({t} AS VARCHAR)")
            return self._leaf_problem(column, way, raw, path)
        if column.mode == "REPEATED":
            assert form.element
            element, inner = f'"its e{next(self._numbers)}"', f'"its p{next(self._numbers)}"'
            element_problem = self._problem(_element(column), form.element, element, path)
            each = f"list_transform({raw}, lambda {element}: {element_problem})"
            return f"list_filter({each}, lambda {inner}: {inner} IS NOT NULL)[1]"
        if column.type == "RECORD":
            members = ", ".join(
                self._problem(f, inner, member, f"{path}.{f.name}") for f, inner, member in _members(column, form, raw)
            )
            number = self._place(path, column)
            absent = literal(number) if column.mode == "REQUIRED" else "NULL"
            return f"CASE WHEN {raw} IS NULL THEN {absent} ELSE coalesce({members}, NULL) END"
        way = self._leaf(column, form, path.lower())
        text = f'"its t{next(self._numbers)}"'
        return _bound(text, way.prepare(raw), self._leaf_problem(column, way, text, path))

    def _leaf_problem(self, column: Column, way: Leaf, text: str, path: str) -> str:
        number = self._place(path, column)
        wrong = f"{text} IS NOT NULL AND ({way.finish(text)}) IS NULL"
        shown = f"concat({literal(number + _SEPARATOR)}, left({way.show(text)}, 200))"
        missing = f" WHEN {text} IS NULL THEN {literal(number)}" if column.mode == "REQUIRED" else ""
        return f"CASE WHEN {wrong} THEN {shown}{missing} END"

    def _place(self, path: str, column: Column) -> str:
        self.places.append(Place(path, column))
        return str(len(self.places) - 1)

    def _rounding(self, column: Column, form: Form, raw: str, path: str, *, at_top: bool) -> str:
        inside = any(r == path or r.startswith(f"{path}.") for r in self.rounds)
        if not inside or not _suits(column, form):
            return "0"
        if column.mode == "REPEATED":
            assert form.element
            element = f'"its e{next(self._numbers)}"'
            element_rounding = self._rounding(_element(column), form.element, element, path, at_top=False)
            return f"coalesce(list_sum(list_transform({raw}, lambda {element}: {element_rounding})), 0)"
        if column.type == "RECORD":
            parts = (
                self._rounding(f, inner, member, f"{path}.{f.name.lower()}", at_top=False)
                for f, inner, member in _members(column, form, raw)
            )
            return f"CASE WHEN {raw} IS NULL THEN 0 ELSE {' + '.join(parts)} END"
        text = raw if at_top else self._leaf(column, form, path).prepare(raw)
        return f"CAST(coalesce({grammar.rounded(column.type, f'CAST({text} AS VARCHAR)')}, false) AS INTEGER)"


def problem_parts(problem: str) -> tuple[int, str | None]:
    """The place's number and the text of what `Casts.problem` gave; None where a value is missing."""
    number, separator, text = problem.partition(_SEPARATOR)
    return int(number), text if separator else None


def _bound(name: str, expression: str, body: str) -> str:
    return f"list_transform([{expression}], lambda {name}: {body})[1]"


def _element(column: Column) -> Column:
    """BigQuery's arrays hold no NULL."""
    return replace(column, mode="REQUIRED")


def _suits(column: Column, form: Form) -> bool:
    if column.mode == "REPEATED":
        return form.kind == "LIST"
    return column.type != "RECORD" or form.kind == "STRUCT"


def _members(column: Column, form: Form, raw: str) -> Iterator[tuple[Column, Form, str]]:
    """Each declared member with its form and how it is taken; one that the file lacks is NULL."""
    spelled = {name.lower(): name for name in form.members}
    for member in column.fields:
        name = spelled.get(member.name.lower())
        if name is None:
            yield member, Form("NULL"), "CAST(NULL AS VARCHAR)"
        else:
            yield member, form.members[name], f"struct_extract({raw}, {literal(name)})"
