"""Random SELECTs over random tables: what a seed gives is the same everywhere.

Tables are written as literals, so that a query needs nothing but itself. A query's rows never hang on chance: where an
order matters it is total, and floating-point sums are of numbers that add up exactly.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.warehouse.googlesql.query_literals import CHOICES, INTS, KINDS, NARROW, SCALARS, VALUES
from tests.warehouse.googlesql.query_parts import Column, Part, Relation
from tests.warehouse.googlesql.query_templates import (
    AGGREGATES,
    ANY_KIND,
    ANY_SCALAR,
    MAY_FAIL,
    NEVER_FAILS,
    ORDERED_AGGREGATES,
    ROWS,
    WINDOWS,
)

_HOLE = re.compile(r"\{([^}]+)\}")


def random_query(seed: int) -> Part:
    """The query of this number."""
    return _Queries(Random(seed)).statement()


class _Queries:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.tables: dict[str, Relation] = {}
        self.may_fail = False
        self.aliases = 0

    # Tables.

    def statement(self) -> Part:
        entries: list[Part | str] = []
        for number in range(1, self.random.choice((1, 1, 2, 2, 3)) + 1):
            name = f"t{number}"
            made = self.table()
            self.tables[name] = made
            entries.append(Part("entry", (f"{name} AS (", made.part, ")")))
        if self.random.random() < 0.2:
            inner = self.select(2)
            self.tables["u"] = inner
            entries.append(Part("entry", ("u AS (", inner.part, ")")))
        self.may_fail = self.random.random() < 0.25
        of = self.flat(3, only_table=True) if self.may_fail else self.select(3)
        ending: list[Part | str] = []
        if of.keys and not self.may_fail and self.random.random() < 0.35:
            ordered = [c for c in of.columns if c.kind in (*SCALARS, *NARROW)]
            first = [self.random.choice(ordered).sql] if ordered else []
            items = ", ".join(f"{c}{self.direction()}" for c in dict.fromkeys((*first, *of.keys)))
            ending.append(Part("optional", (f" ORDER BY {items}",)))
            if self.random.random() < 0.5:
                ending.append(Part("optional", (f" LIMIT {self.random.randint(0, 4)}",)))
                if self.random.random() < 0.4:
                    ending.append(Part("optional", (f" OFFSET {self.random.randint(0, 2)}",)))
        return Part("statement", ("WITH ", Part("list", tuple(entries), ", "), " ", of.part, *ending))

    def table(self) -> Relation:
        wide = self.random.randint(3, 7)
        kinds = ["key", *(self.random.choice((*KINDS, *NARROW, "STRING", "small")) for _ in range(wide))]
        names = ["k", *(f"c{at}" for at in range(1, wide + 1))]
        types = [{"key": "INT64", **NARROW}.get(kind, kind) for kind in kinds]
        number = self.random.choice((0, 1, 2, 3, 3, 4, 4, 5, 6))
        columns = tuple(Column(n, "small" if k == "key" else k) for n, k in zip(names, kinds, strict=True))
        rows: list[Part | str] = []
        if number and self.random.random() < 0.3:  # the types come of literals beside each other
            for at in range(number):
                cells = [self.cell(kind, at, typed=at == 0) for kind in kinds]
                named = ", ".join(f"{cell} AS {name}" for cell, name in zip(cells, names, strict=True))
                rows.append(f"SELECT {named}")
            return Relation(Part("table", (Part("list", tuple(rows), " UNION ALL "),)), columns, ("k",))
        rows = [f"({', '.join(self.cell(kind, at, typed=False) for kind in kinds)})" for at in range(number)]
        struct = ", ".join(f"{n} {t}" for n, t in zip(names, types, strict=True))
        of = Part("list", tuple(rows), ", ")
        return Relation(Part("table", (f"SELECT * FROM UNNEST(ARRAY<STRUCT<{struct}>>[", of, "])")), columns, ("k",))

    def cell(self, kind: str, at: int, *, typed: bool) -> str:
        if kind == "key":
            return str(at + 1)
        text = "NULL" if self.random.random() < 0.2 else self.literal(kind)
        return f"CAST({text} AS {NARROW.get(kind, kind)})" if typed and text == "NULL" else text

    def literal(self, kind: str) -> str:
        """A value of a kind, written out."""
        match kind:
            case "ARRAY<INT64>" | "ARRAY<STRING>" | "ARRAY<DATE>":
                element = kind[6:-1]
                held = [self.random.choice(VALUES[element]) for _ in range(self.random.randint(0, 3))]
                held = [one if self.random.random() < 0.9 else "NULL" for one in held]
                return f"{kind}[{', '.join(held)}]"
            case "STRUCT<a INT64, b STRING>":
                pair = [self.random.choice((*VALUES[one][:6], "NULL")) for one in ("INT64", "STRING")]
                return f"STRUCT<a INT64, b STRING>({', '.join(pair)})"
        return self.random.choice(VALUES[kind])

    # Expressions.

    def expression(self, kind: str, columns: Sequence[Column], depth: int) -> Part:
        """An expression of a kind over columns."""
        label = NARROW.get(kind, kind)
        fitting = [c for c in columns if c.kind == kind or (kind == label and NARROW.get(c.kind) == kind)]
        chance = self.random.random()
        if fitting and chance < (0.55 if depth else 0.9):
            return Part(label, (self.random.choice(fitting).sql,))
        if depth <= 0 or chance < 0.05:
            if self.random.random() < 0.1:
                return Part(label, (f"CAST(NULL AS {label})",))
            return Part(label, (self.literal(kind),))
        templates = list(NEVER_FAILS[kind])
        if self.may_fail and kind in MAY_FAIL:
            templates = [*templates, *MAY_FAIL[kind] * 3]
        if kind == label and self.random.random() < 0.3:
            general = (*ANY_KIND, *ANY_SCALAR) if kind in SCALARS else tuple(t for t in ANY_KIND if "][" not in t)
            templates = [one.replace("{T}", f"{{{kind}}}") for one in general]
        if kind in ("INT64", "BOOL", "STRING", "small", INTS) and self.tables and self.random.random() < 0.06:
            return self.subquery(kind, columns, depth)
        return self.filled(self.random.choice(templates), label, columns, depth - 1)

    def filled(self, template: str, label: str, columns: Sequence[Column], depth: int, **given: str) -> Part:
        """A template with an expression in each hole; in brackets, so that it may stand anywhere."""
        pieces: list[Part | str] = []
        at = 0
        guarded = self.may_fail and re.search(r" (AND|OR|IN) ", template)
        self.may_fail = self.may_fail and not guarded
        for hole in _HOLE.finditer(template):
            pieces.append(template[at : hole.start()])
            word = hole[1]
            if word in given:
                pieces.append(given[word])
            elif word in CHOICES:
                pieces.append(self.random.choice(CHOICES[word]))
            else:
                pieces.append(self.expression(word, columns, depth))
            at = hole.end()
        self.may_fail = self.may_fail or bool(guarded)
        return Part(label, ("(", *pieces, template[at:], ")"))

    def subquery(self, kind: str, columns: Sequence[Column], depth: int) -> Part:
        """An expression that reads a table, perhaps with the outer row's columns."""
        name, of = self.random.choice(list(self.tables.items()))
        alias = self.alias()
        inner = tuple(replace(c, sql=f"{alias}.{c.sql}") for c in of.columns)
        both = (*inner, *columns) if self.random.random() < 0.5 else inner
        where = self.expression("BOOL", both, 1)
        label = NARROW.get(kind, kind)
        ending: tuple[Part | str, ...] = (f" FROM {name} AS {alias}", Part("optional", (" WHERE ", where)), ")")
        match kind:
            case "BOOL" if self.random.random() < 0.5:
                return Part(label, ("EXISTS(SELECT 1", *ending))
            case "BOOL":
                compared = self.random.choice([c.kind for c in inner if c.kind in (*SCALARS, *NARROW)])
                word = self.random.choice(("IN", "IN", "NOT IN"))
                value, column = self.expression(compared, columns, 1), self.expression(compared, inner, 0)
                return Part(label, ("(", value, f" {word} (SELECT ", column, *ending, ")"))
            case "ARRAY<INT64>":
                if of.keys is None:
                    return Part(label, (self.literal(kind),))
                order = ", ".join(f"{alias}.{key}" for key in of.keys)
                value = self.expression("INT64", inner, 1)
                return Part(label, ("ARRAY(SELECT ", value, *ending[:-1], f" ORDER BY {order})"))
            case "STRING":
                return Part(label, ("(SELECT MAX(", self.expression(kind, inner, 1), ")", *ending))
            case "INT64" if self.random.random() < 0.5:
                return Part(label, ("(SELECT SUM(", self.expression("small", inner, 1), ")", *ending))
        return Part(label, ("(SELECT COUNT(*)", *ending))

    def alias(self) -> str:
        self.aliases += 1
        return f"q{self.aliases}"

    def direction(self) -> str:
        return self.random.choice(("", "", " DESC", " ASC NULLS LAST", " DESC NULLS FIRST"))

    # Rows.

    def source(self, depth: int, *, only_table: bool = False, inner: bool = False) -> Relation:
        """What stands in FROM."""
        chance = self.random.random()
        if only_table or chance < 0.4 or depth <= 0:
            name, of = self.random.choice(list(self.tables.items()))
            return self.named(f"{name} AS ", of)
        if chance < 0.55:
            of = self.select(depth - 1)
            return self.named(Part("source", ("(", of.part, ") AS ")), of)
        if chance < 0.7:
            return self.unnested(inner=inner)
        return self.joined(depth)

    def named(self, before: "Part | str", of: Relation) -> Relation:
        alias = self.alias()
        columns = tuple(replace(c, sql=f"{alias}.{c.sql}") for c in of.columns)
        keys = None if of.keys is None else tuple(f"{alias}.{key}" for key in of.keys)
        return Relation(Part("source", (before, alias)), columns, keys)

    def unnested(self, *, inner: bool) -> Relation:
        """Rows of an array, alone or of each row's."""
        element, alias, offset = self.random.choice(("INT64", "STRING", "DATE")), self.alias(), self.alias()
        column = Column(alias, element)
        if self.random.random() < 0.3:
            array = self.expression(f"ARRAY<{element}>", (), 1)
            from_part = Part("source", ("UNNEST(", array, f") AS {alias} WITH OFFSET AS {offset}"))
            return Relation(from_part, (column, Column(offset, "small")), (offset,))
        of = self.source(0)
        array = self.expression(f"ARRAY<{element}>", of.columns, 1)
        join = self.random.choice((" CROSS JOIN " if inner else ", ", " CROSS JOIN ", " LEFT JOIN "))
        pieces: list[Part | str] = [of.part, join, "UNNEST(", array, f") AS {alias} WITH OFFSET AS {offset}"]
        if join == " LEFT JOIN ":
            pieces += [
                " ON ",
                self.expression("BOOL", (*of.columns, column), 1) if self.random.random() < 0.3 else "TRUE",
            ]
        keys = None if of.keys is None else (*of.keys, offset)
        return Relation(Part("source", tuple(pieces)), (*of.columns, column, Column(offset, "small")), keys)

    def joined(self, depth: int) -> Relation:
        left = self.source(depth - 1, inner=True)
        right = self.source(0 if self.random.random() < 0.7 else depth - 1, inner=True)
        columns = (*left.columns, *right.columns)
        keys = None if left.keys is None or right.keys is None else (*left.keys, *right.keys)
        join = self.random.choice((" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ", " CROSS JOIN "))
        pieces: list[Part | str] = ["(", left.part, join, right.part]
        if join != " CROSS JOIN ":
            kind = self.random.choice((*SCALARS, "small"))
            one, other = self.expression(kind, left.columns, 1), self.expression(kind, right.columns, 1)
            sign = "=" if join == " FULL JOIN " else self.random.choice(("=", "=", "=", "<", ">="))
            on: list[Part | str] = [one, f" {sign} ", other]
            if self.random.random() < 0.3 and join != " FULL JOIN ":
                on += [Part("optional", (" AND ", self.expression("BOOL", columns, 1)))]
            pieces += [" ON ", *on]
        return Relation(Part("source", (*pieces, ")")), columns, keys)

    def select(self, depth: int) -> Relation:
        """A query whose columns are r1, r2 and so on."""
        chance = self.random.random()
        if depth <= 0 or chance < 0.35:
            return self.flat(depth)
        if chance < 0.62:
            return self.grouped(depth)
        if chance < 0.8:
            return self.windowed(depth)
        if chance < 0.92:
            return self.combined(depth)
        return self.distinct(depth)

    def where(self, of: Relation) -> Part:
        if self.random.random() < 0.55 or self.may_fail:
            return Part("optional", ("",))
        return Part("optional", (" WHERE ", self.expression("BOOL", of.columns, 2)))

    def some(self, of: Relation, depth: int, kinds: Sequence[str], number: int) -> list[tuple[str, Part]]:
        return [(kind, self.expression(kind, of.columns, depth)) for kind in self.random.choices(kinds, k=number)]

    def flat(self, depth: int, *, only_table: bool = False) -> Relation:
        of = self.source(depth - 1, only_table=only_table)
        cells = self.some(of, 2 if depth < 3 else 3, (*KINDS, *NARROW), self.random.randint(1, 3))
        keys = [("small", Part("key", (key,))) for key in of.keys or ()]
        return self.selecting([*keys, *cells], (" FROM ", of.part, self.where(of)), len(keys) if of.keys else None)

    def selecting(
        self, cells: Sequence[tuple[str, Part]], rest: tuple[Part | str, ...], keys: int | None, word: str = ""
    ) -> Relation:
        """A SELECT of cells as r1, r2 ...; the first `keys` of them put its rows in order."""
        names = [f"r{at}" for at in range(1, len(cells) + 1)]
        items = tuple(Part("item", (cell, f" AS {name}")) for (_, cell), name in zip(cells, names, strict=True))
        columns = tuple(Column(name, self.column_kind(kind)) for (kind, _), name in zip(cells, names, strict=True))
        part = Part("query", (f"SELECT {word}", Part("list", items, ", "), *rest))
        return Relation(part, columns, None if keys is None else tuple(names[:keys]))

    def column_kind(self, kind: str) -> str:
        # A sum of narrow values is narrow no more: another sum of it could overflow.
        return kind if kind in KINDS or kind == "small" else NARROW[kind]

    def grouped(self, depth: int) -> Relation:
        of = self.source(depth - 1)
        by = self.some(of, 1, (*SCALARS, "small", "STRING", "BOOL"), self.random.choice((0, 1, 1, 2)))
        forms = AGGREGATES if of.keys is None else (*AGGREGATES, *ORDERED_AGGREGATES)
        keys = ", ".join(of.keys or ())
        cells: list[tuple[str, Part]] = []
        for kind, template in self.random.choices(forms, k=self.random.randint(1, 3)):
            if "DISTINCT" in template and "ORDER BY 1" in template:
                text = self.expression("STRING", of.columns, 0).sql
                cells.append(
                    (kind, Part(NARROW.get(kind, kind), (f"STRING_AGG(DISTINCT {text}, '' ORDER BY {text})",)))
                )
            elif template.startswith("ARRAY_AGG(DISTINCT"):
                date = self.expression("DATE", of.columns, 0).sql
                cells.append((kind, Part(kind, (f"ARRAY_AGG(DISTINCT {date} ORDER BY {date})",))))
            else:
                cells.append((kind, self.filled(template, NARROW.get(kind, kind), of.columns, 1, keys=keys)))
        tail: list[Part | str] = [" FROM ", of.part, self.where(of)]
        numbers = list(range(1, len(by) + 1))
        if by:
            form = self.random.random()
            names = ", ".join(str(n) for n in numbers)
            if form < 0.1 and all(kind != "FLOAT64" for kind, _ in by):
                written = f"ROLLUP({', '.join(f'r{n}' for n in numbers)})"
                return self.selecting([*by, *cells], (*tail, f" GROUP BY {written}"), None)
            tail.append(f" GROUP BY {names if form < 0.6 else ', '.join(f'r{n}' for n in numbers)}")
            if self.random.random() < 0.25:
                having = self.random.choice(
                    ("COUNT(*) > 1", "MAX({small}) >= {small}", "COUNTIF({BOOL}) > 0", "SUM({small}) IS NOT NULL")
                )
                # What it compares with has to be grouped: a number is.
                having = re.sub(r"(>=) \{small\}", r"\1 2", having)
                tail.append(Part("optional", (" HAVING ", self.filled(having, "BOOL", of.columns, 1))))
        ordered = len(by) if by and all(kind != "FLOAT64" for kind, _ in by) else None
        return self.selecting([*by, *cells], tuple(tail), ordered)

    def windowed(self, depth: int) -> Relation:
        of = self.source(depth - 1)
        if not of.keys:
            return self.flat(depth)
        keys = [("small", Part("key", (key,))) for key in of.keys]
        cells = [self.window(of) for _ in range(self.random.randint(1, 2))]
        tail: list[Part | str] = [" FROM ", of.part, self.where(of)]
        if self.random.random() < 0.2:
            order = ", ".join(f"{key}{self.direction()}" for key in of.keys)
            word = self.random.choice(("ROW_NUMBER()", "RANK()", "COUNT(*)"))
            tail.append(Part("optional", (f" QUALIFY {word} OVER (ORDER BY {order}) <= 2",)))
        return self.selecting([*keys, *cells], tuple(tail), len(keys))

    def window(self, of: Relation) -> tuple[str, Part]:
        kind, template = self.random.choice(WINDOWS)
        partition = ""
        if self.random.random() < 0.6:
            partition = f"PARTITION BY {self.expression(self.random.choice(('STRING', 'small', 'BOOL', 'DATE', 'INT64')), of.columns, 1).sql}"
        scalars = [c.sql for c in of.columns if c.kind in (*SCALARS, *NARROW)]
        ties = f"{self.random.choice(scalars)}{self.direction()}"
        total = ", ".join(f"{key}{self.direction()}" for key in of.keys or ())
        first = f"{ties}, " if self.random.random() < 0.5 else ""
        given = {
            "p": partition,
            "o": f"ORDER BY {ties}",
            "t": f"ORDER BY {first}{total}",
            "f": self.frame("ROWS"),
            "r": self.frame("RANGE"),
        }
        return kind, self.filled(template, NARROW.get(kind, kind), of.columns, 1, **given)

    def frame(self, unit: str) -> str:
        if self.random.random() < 0.25:
            return "" if unit == "RANGE" else "ROWS UNBOUNDED PRECEDING"
        first = self.random.randrange(len(ROWS) - 1)
        last = self.random.randrange(max(first, 1), len(ROWS))
        return f"{unit} BETWEEN {ROWS[first]} AND {ROWS[last]}"

    def combined(self, depth: int) -> Relation:
        word = self.random.choice(("UNION ALL", "UNION ALL", "UNION DISTINCT", "INTERSECT DISTINCT", "EXCEPT DISTINCT"))
        kinds = self.random.choices(SCALARS if word != "UNION ALL" else KINDS, k=self.random.randint(1, 3))
        parts = []
        for _ in range(self.random.choice((2, 2, 3))):
            of = self.source(depth - 2)
            cells = [(kind, self.expression(kind, of.columns, 1)) for kind in kinds]
            parts.append(self.selecting(cells, (" FROM ", of.part, self.where(of)), None))
        whole = Part("query", (Part("list", tuple(one.part for one in parts), f" {word} "),))
        is_total = word != "UNION ALL" and "FLOAT64" not in kinds
        return Relation(whole, parts[0].columns, tuple(c.sql for c in parts[0].columns) if is_total else None)

    def distinct(self, depth: int) -> Relation:
        of = self.source(depth - 1)
        cells = self.some(of, 1, (*SCALARS, "small"), self.random.randint(1, 2))
        total = None if any(kind in ("FLOAT64", "exact") for kind, _ in cells) else len(cells)
        return self.selecting(cells, (" FROM ", of.part, self.where(of)), total, "DISTINCT ")
