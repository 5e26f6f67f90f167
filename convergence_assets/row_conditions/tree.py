"""The tree of a row condition: comparisons, membership, missing values, and what joins them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

Sign = Literal["==", "!=", "<", "<=", ">", ">="]
Value: TypeAlias = str | bool | Decimal | datetime

FLIPPED: dict[Sign, Sign] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class ConditionError(ValueError):
    """A row condition that is not read; `expected` says what can be written, `suggestion` the nearest spelling."""

    def __init__(self, message: str, expected: str | None = None, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.expected = expected
        self.suggestion = suggestion


@dataclass(frozen=True)
class Column:
    """A column by its name, where a value could stand."""

    name: str


@dataclass(frozen=True)
class Comparison:
    """NULL where the column, or the column that it is compared with, is NULL."""

    column: str
    sign: Sign
    value: Value | Column


@dataclass(frozen=True)
class In:
    """Whether the column is one of the values; NULL where it is NULL."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """Whether the column is NULL; never NULL itself."""

    column: str


@dataclass(frozen=True)
class Not:
    """NULL where its condition is."""

    condition: "Condition"


@dataclass(frozen=True)
class All:
    """False where one is false, else NULL where one is."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True)
class Any:
    """True where one is true, else NULL where one is."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Comparison | In | Missing | Not | All | Any


def leaves(condition: Condition) -> Iterator[Comparison | In | Missing]:
    """The comparisons of a condition, from left to right."""
    match condition:
        case Not(inner):
            yield from leaves(inner)
        case All(several) | Any(several):
            for one in several:
                yield from leaves(one)
        case _:
            yield condition


def columns_of(condition: Condition) -> frozenset[str]:
    """Every column that a condition reads."""
    names: set[str] = set()
    for leaf in leaves(condition):
        names.add(leaf.column)
        if isinstance(leaf, Comparison) and isinstance(leaf.value, Column):
            names.add(leaf.value.name)
    return frozenset(names)
