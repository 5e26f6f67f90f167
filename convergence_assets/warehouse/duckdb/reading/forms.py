"""How a file holds a column, and how each such form becomes the text, or the value, that a type's grammar reads."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.quoting import literal
from convergence_assets.warehouse.duckdb.reading import grammar
from convergence_assets.warehouse.schema import Column

Sql = Callable[[str], str]

MARK = "\uffff"
"""What a JSON number begins with once it is a text: a code point that Unicode keeps out of texts."""

TEXT, MARKED, MARKED_JSON, WORDS = "TEXT", "MARKED", "MARKED JSON", "WORDS"
_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
_NUMBERS = _WHOLE | {"UBIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", WORDS}
_NESTED = frozenset({"LIST", "ARRAY", "STRUCT", "MAP"})
_ZONELESS = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "DATE"})
_TEXTS = frozenset({"VARCHAR", "JSON", "ENUM", "UUID", TEXT})


@dataclass(frozen=True)
class Form:
    """The engine's type of what a file holds; `precision` and `scale` of a DECIMAL, the element of a LIST, the members
    of a STRUCT as the file spells them, and the whole type as SQL `spelled`."""

    kind: str
    precision: int = 0
    scale: int = 0
    element: "Form | None" = None
    members: Mapping[str, "Form"] = field(default_factory=dict)
    spelled: str = ""


@dataclass(frozen=True)
class Leaf:
    """A single value's way: `prepare` what the file holds, `finish` it to the type (NULL: it does not fit), `show` the
    prepared to a person."""

    prepare: Sql
    finish: Sql
    show: Sql


def form_of(kind: Any) -> Form:
    """The form of a `DuckDBPyType`."""
    name = str(kind.id).upper()
    if name == "DECIMAL":
        sizes = dict(kind.children)
        return Form("DECIMAL", int(sizes["precision"]), int(sizes["scale"]))
    if name in ("LIST", "ARRAY"):
        return Form("LIST", element=form_of(kind.children[0][1]), spelled=str(kind))
    if name == "STRUCT":
        members = {member: form_of(inner) for member, inner in kind.children}
        return (
            Form(WORDS)
            if tuple(members) == bignumeric_encoding.WORDS
            else Form("STRUCT", members=members, spelled=str(kind))
        )
    return Form(_LONG_NAMES.get(name, name), spelled=str(kind))


_LONG_NAMES = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ", "TIME WITH TIME ZONE": "TIMETZ"}


def leaf(column: Column, form: Form, *, rounds: bool) -> Leaf:
    """How a column's single value is read from its form."""

    def finish(text: str) -> str:
        return grammar.value(column.type, text, rounds=rounds)

    if form.kind in (MARKED, MARKED_JSON):
        return Leaf(_unmarked(column, form), finish, lambda t: f"replace({t}, {literal(MARK)}, '')")
    if form.kind == TEXT:
        # An empty field is NULL, but in a STRING the quoted one is an empty text.
        return Leaf(_same if column.type == "STRING" else _or_null, finish, _same)
    direct = _direct(column, form)
    if direct:
        return direct
    if _is_text_of(column, form):
        return Leaf(_texts(form), finish, _same)
    unsuited = f"CAST(NULL AS {duckdb_type(column)})"
    return Leaf(lambda x: f"CAST({x} AS VARCHAR)", lambda t: unsuited, _same)


def _same(raw: str) -> str:
    return raw


def _or_null(raw: str) -> str:
    return f"nullif({raw}, '')"


def _unmarked(column: Column, form: Form) -> Sql:
    mark = literal(MARK)

    def bare(x: str) -> str:
        return f"CASE WHEN starts_with({x}, {mark}) THEN substr({x}, 2) ELSE {x} END"

    def inside(x: str) -> str:
        return f"""regexp_replace({x}, '"{MARK}([^"]*)"', '\\1', 'g')"""

    if form.kind == MARKED_JSON:
        return lambda x: inside(f"CAST({x} AS VARCHAR)")
    if column.type == "STRING":
        return lambda x: (
            f"CASE WHEN NOT contains({x}, {mark}) THEN {x} WHEN starts_with({x}, {mark}) THEN substr({x}, 2) "
            f"ELSE {inside(x)} END"
        )
    return bare if column.type in (*grammar.PLACES, "FLOAT64") else _same


def _direct(column: Column, form: Form) -> Leaf | None:
    """The way of a value that the file holds in a type as exact as the column's."""
    kind, typed = form.kind, duckdb_type(column)

    def cast(x: str) -> str:
        return f"CAST({x} AS {typed})"

    def shown(t: str) -> str:
        return f"CAST({t} AS VARCHAR)"

    match column.type:
        case "INT64" if kind in _WHOLE:
            return Leaf(cast, _same, shown)
        case "NUMERIC" if kind in _WHOLE or (
            kind == "DECIMAL" and form.scale <= 9 and form.precision - form.scale <= 29
        ):
            return Leaf(cast, _same, shown)
        case "BIGNUMERIC" if kind == WORDS:
            return Leaf(_same, _same, lambda t: f"bignumeric_text({t})")
        case "FLOAT64" if kind in ("DOUBLE", "FLOAT"):
            return Leaf(cast, grammar.finite, shown)
        case "BOOL" if kind == "BOOLEAN":
            return Leaf(_same, _same, shown)
        case "BYTES" if kind == "BLOB":
            return Leaf(_same, _same, shown)
        case "TIME" if kind == "TIME":
            return Leaf(_same, _same, shown)
        case "DATE" if kind == "DATE":
            return Leaf(_same, lambda t: grammar.in_range("DATE", t), shown)
        case "DATETIME" if kind in _ZONELESS:
            return Leaf(cast, lambda t: grammar.in_range("DATETIME", t), shown)
        case "TIMESTAMP" if kind == "TIMESTAMPTZ":
            return Leaf(_same, lambda t: grammar.in_range("TIMESTAMP", t), shown)
        case "TIMESTAMP" if kind in _ZONELESS:
            return Leaf(lambda x: f"CAST({x} AS TIMESTAMP)", _as_utc, shown)
    return None


def _as_utc(raw: str) -> str:
    return f"CASE WHEN {grammar.in_range('DATETIME', raw)} IS NOT NULL THEN {grammar.instant(f'epoch_us({raw})')} END"


def _is_text_of(column: Column, form: Form) -> bool:
    """Whether the form's text is what the column's grammar speaks of."""
    kind = form.kind
    if column.type == "STRING":
        return kind not in ("BLOB", "INTERVAL", "BIT")
    if column.type == "JSON":
        return kind in _TEXTS | _NESTED
    if column.type in (*grammar.PLACES, "FLOAT64"):
        return kind in _TEXTS | _NUMBERS
    if column.type in ("DATETIME", "TIMESTAMP") and kind == "TIMESTAMP_NS":
        return True
    if column.type == "TIME" and kind == "TIME_NS":
        return True
    return kind in _TEXTS


def _texts(form: Form) -> Sql:
    if form.kind in _NESTED:
        # DuckDB 1.5 makes a double of a narrower decimal on its way to JSON.
        wide = re.sub(r"\bDECIMAL\(\d+,(\d+)\)", r"DECIMAL(38,\1)", form.spelled)
        return lambda x: f"CAST(to_json(CAST({x} AS {wide})) AS VARCHAR)"
    if form.kind == WORDS:
        return lambda x: f"bignumeric_text({x})"
    return lambda x: f"CAST({x} AS VARCHAR)"
