"""Staged rows compared with those that are published: rows and amounts added, lost and changed, exactly."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

from convergence_assets.preview.relations import is_among
from convergence_assets.warehouse.interface import Job, Staged, Warehouse
from convergence_assets.warehouse.schema import Column, Query, TableRef

MOST_EXAMPLES = 5
"""How many of the largest changes of a table are shown."""
_AMOUNTS = ("NUMERIC", "BIGNUMERIC")
_GROUPED = ("STRING", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BYTES")
_COMPARED_AS_THEY_ARE = (*_GROUPED, *_AMOUNTS, "INT64")


@dataclass(frozen=True)
class RowChanges:
    """Rows of a day: `changed` are those that have a row of the same key and other values on the other side."""

    before: int = 0
    after: int = 0
    added: int = 0
    lost: int = 0
    changed: int = 0

    def __add__(self, other: "RowChanges") -> "RowChanges":
        return RowChanges(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def any(self) -> bool:
        return bool(self.added or self.lost or self.changed)


@dataclass(frozen=True)
class AmountChanges:
    """Sums of a NUMERIC column: all of it before and after, that of keys which are new and of those which are gone, and
    `moved`, what the keys' sums differ by without regard to the sign. None where a side has no such column."""

    before: Decimal | None
    after: Decimal | None
    added: Decimal = Decimal()
    lost: Decimal = Decimal()
    moved: Decimal = Decimal()

    @property
    def difference(self) -> Decimal:
        return (self.after or Decimal()) - (self.before or Decimal())

    def __add__(self, other: "AmountChanges") -> "AmountChanges":
        return AmountChanges(
            _sum(self.before, other.before), _sum(self.after, other.after), self.added + other.added,
            self.lost + other.lost, self.moved + other.moved,
        )  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A key whose rows changed, its values as text (sensitive ones masked), its rows and amounts on both sides; `size`
    is how much the money changes, by which the largest are found."""

    key: Mapping[str, str]
    rows: tuple[int, int]
    amounts: Mapping[str, tuple[Decimal | None, Decimal | None]]
    size: Decimal


Amounts = Mapping[tuple[str, str], AmountChanges]
"""By column and currency; the currency is empty where the table names none."""


@dataclass(frozen=True)
class DayChanges:
    """The rows and the amounts of one day."""

    rows: RowChanges = RowChanges()
    amounts: Amounts = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """A staged table and what is published of it in `table`; `published` are the published columns with their types
    (None: there is no table), `declared_key` the columns by which its suite tells rows apart (empty: rows are compared
    by all columns that are no number). `before_money` is the published money column, `currency` that of its
    currency; `published_day` is the published partition column, which counts as the staged one."""

    staged: Staged
    table: TableRef
    published: Mapping[str, str] | None
    declared_key: tuple[str, ...]
    currency: str | None
    before_money: str | None
    sensitive: frozenset[str]
    published_day: str | None = None

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The columns that tell rows apart, the partition's and the currency's always among them."""
        day = self._day
        common = [c.name for c in self._common if c.type in _GROUPED and c.mode != "REPEATED"]
        declared = [c.name for c in self._common if c.name in self.declared_key]
        chosen = declared if declared and len(declared) == len(self.declared_key) else common
        currency = [self.currency] if self.currency in common else []
        return tuple(dict.fromkeys([day, *currency, *(name for name in chosen if name != day)]))

    def by_day(self, warehouse: Warehouse, days: Collection[date], job: Job) -> dict[date, DayChanges]:
        """What differs on each of these days. Raises `WarehouseError`."""
        currency = f"`{self.currency}`" if self.currency in self.key else "CAST(NULL AS STRING)"
        sums = ["SUM(x_before)", "SUM(x_after)", "SUM(GREATEST(x_after - x_before, 0))",
                "SUM(GREATEST(x_before - x_after, 0))", "SUM(LEAST(x_before, x_after) - x_same)"]  # fmt: skip
        for number in range(len(self.amounts)):
            before, after = f"x_b{number}", f"x_a{number}"
            sums += [
                f"SUM({before})", f"SUM({after})", f"SUM(IF(x_before = 0, {after}, 0))",
                f"SUM(IF(x_after = 0, {before}, 0))", f"SUM(ABS(IFNULL({after}, 0) - IFNULL({before}, 0)))",
            ]  # fmt: skip
        named = ", ".join(f"{expression} AS x_{at}" for at, expression in enumerate(sums))
        selected = f"`{self._day}` AS x_day, {currency} AS x_currency, {named}"
        sql = f"{self._keys(days)} SELECT {selected} FROM x_keys GROUP BY 1, 2"
        by_day: dict[date, DayChanges] = {}
        for row in warehouse.rows(Query(sql), job):
            values = [row[f"x_{at}"] for at in range(len(sums))]
            rows = RowChanges(*(int(value or 0) for value in values[:5]))
            amounts = {
                (name, row["x_currency"] or ""): AmountChanges(
                    _decimal(values[start]),
                    _decimal(values[start + 1]),
                    *(Decimal(value or 0) for value in values[start + 2 : start + 5]),
                )
                for name, start in zip(self.amounts, range(5, len(values), 5), strict=True)
            }
            day = by_day.get(row["x_day"], DayChanges())
            by_day[row["x_day"]] = DayChanges(day.rows + rows, added(day.amounts, amounts))
        return by_day

    def examples(self, warehouse: Warehouse, days: Collection[date], job: Job) -> tuple[Example, ...]:
        """The keys that change most, the largest first. Raises `WarehouseError`."""
        order = [f"ABS(IFNULL(x_a{n}, 0) - IFNULL(x_b{n}, 0)) DESC" for n in range(len(self.amounts))][:1]
        order += ["ABS(x_after - x_before) DESC", *(f"`{name}`" for name in self.key)]
        key = ", ".join(f"CAST(`{name}` AS STRING) AS `{name}`" for name in self.key if self._type(name) != "BYTES")
        sums = [f"x_{side}{n}" for n in range(len(self.amounts)) for side in "ba"]
        sql = (
            f"{self._keys(days)} SELECT {key}, {', '.join(['x_before', 'x_after', *sums])} FROM x_keys "
            f"WHERE x_same < GREATEST(x_before, x_after) ORDER BY {', '.join(order)} LIMIT {MOST_EXAMPLES}"
        )
        return tuple(map(self._example, warehouse.rows(Query(sql), job)))

    @cached_property
    def amounts(self) -> tuple[str, ...]:
        """The columns that are added up: every NUMERIC one of either side, the table's money first."""
        names = [c.name for c in self.staged.schema.columns if c.type in _AMOUNTS and c.mode != "REPEATED"]
        declared = {name.lower() for name in names}
        names += [n for n, kind in (self.published or {}).items() if kind in _AMOUNTS and n.lower() not in declared]
        return tuple(sorted(names, key=lambda name: name != self.before_money))

    def existed(self, amount: str) -> bool:
        """Whether the column is published: what a new one has is no change of money."""
        return (self.published or {}).get(amount) in _AMOUNTS

    def _keys(self, days: Collection[date]) -> str:
        """The statement's beginning: a row a key, as x_keys."""
        key, others = list(self.key), [c for c in self._common if c.name not in self.key]
        compared = [f"`{c.name}`" if _is_plain(c) else f"TO_JSON_STRING(`{c.name}`)" for c in others]
        named = [f"`{name}`" for name in key] + [f"{text} AS x_c{at}" for at, text in enumerate(compared)]
        grouped = ", ".join([f"`{name}`" for name in key] + [f"x_c{at}" for at in range(len(others))])
        sides = [
            f"SELECT {side} AS x_side, {', '.join([*named, *self._side_amounts(side)])} FROM {relation} "
            f"WHERE {is_among(f'`{self._day}`', days)}"
            for side, relation in ((0, self._published_relation), (1, self.staged.table.quoted))
            if side or self.published is not None
        ]
        numbers = range(len(self.amounts))
        sums = [f"SUM(IF(x_side = {at}, x_m{n}, NULL)) AS x_{side}{n}" for n in numbers for at, side in enumerate("ba")]
        again = [f"SUM(x_{side}{n}) AS x_{side}{n}" for n in numbers for side in "ba"]
        counts = ["COUNTIF(x_side = 0) AS x_before", "COUNTIF(x_side = 1) AS x_after", *sums]
        totals = ["SUM(x_before) AS x_before", "SUM(x_after) AS x_after",
                  "SUM(LEAST(x_before, x_after)) AS x_same", *again]  # fmt: skip
        keys = ", ".join(f"`{name}`" for name in key)
        return (
            f"WITH x_rows AS ({' UNION ALL '.join(sides)}), "
            f"x_distinct AS (SELECT {grouped}, {', '.join(counts)} FROM x_rows GROUP BY {grouped}), "
            f"x_keys AS (SELECT {keys}, {', '.join(totals)} FROM x_distinct GROUP BY {keys})"
        )

    def _side_amounts(self, side: int) -> list[str]:
        declared = {c.name: c.type for c in self.staged.schema.columns if c.mode != "REPEATED"}
        types: Mapping[str, str] = declared if side else self.published or {}
        other: Mapping[str, str] = (self.published or {}) if side else declared
        amounts = []
        for at, name in enumerate(self.amounts):
            wide = "BIGNUMERIC" if "BIGNUMERIC" in (types.get(name), other.get(name)) else "NUMERIC"
            value = f"`{name}`" if types.get(name) in _AMOUNTS else "NULL"
            amounts.append(f"CAST({value} AS {wide}) AS x_m{at}")
        return amounts

    @cached_property
    def _common(self) -> Sequence[Column]:
        """The columns that both sides have, of one type."""
        if self.published is None:
            return self.staged.schema.columns
        types = {name.lower(): kind for name, kind in self.published.items()} | {self._day.lower(): "DATE"}
        return [c for c in self.staged.schema.columns if types.get(c.name.lower()) == c.spelled]

    @property
    def _published_relation(self) -> str:
        """The published table, its partition column under the name that the staged one has."""
        if self.published_day is None or self.published_day.lower() == self._day.lower():
            return self.table.quoted
        others = ", ".join(f"`{name}`" for name in self.published or () if name.lower() != self._day.lower())
        return f"(SELECT {others}, `{self.published_day}` AS `{self._day}` FROM {self.table.quoted})"

    @property
    def _day(self) -> str:
        assert self.staged.schema.partition_column
        return self.staged.schema.partition_column

    def _type(self, name: str) -> str:
        return next(c.type for c in self._common if c.name == name)

    def _example(self, row: Mapping[str, Any]) -> Example:
        masked = {name for name in self.key if name in self.sensitive}
        key = {n: "***" if n in masked else str(row[n]) for n in self.key if row.get(n) is not None}
        amounts = {name: (_decimal(row[f"x_b{n}"]), _decimal(row[f"x_a{n}"])) for n, name in enumerate(self.amounts)}
        changed = {name: pair for name, pair in amounts.items() if pair[0] != pair[1] and name not in self.sensitive}
        before, after = next(iter(amounts.values()), (None, None))
        size = abs((after or Decimal()) - (before or Decimal()))
        return Example(key, (int(row["x_before"]), int(row["x_after"])), changed, size)


def added(amounts: Amounts, more: Amounts) -> dict[tuple[str, str], AmountChanges]:
    """Both together, by column and currency."""
    both = dict(amounts)
    for name, change in more.items():
        both[name] = both[name] + change if name in both else change
    return both


def _is_plain(column: Column) -> bool:
    return column.type in _COMPARED_AS_THEY_ARE and column.mode != "REPEATED"


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return other if one is None else one if other is None else one + other
