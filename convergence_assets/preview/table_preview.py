"""What a change would do to one table of one tenant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce
from operator import add

from convergence_assets.preview.comparison import AmountChanges, Amounts, DayChanges, Example, RowChanges, added
from convergence_assets.preview.schema_changes import SchemaChanges
from convergence_assets.preview.touched import TouchedTable
from convergence_assets.quality.expectations import Severity


@dataclass(frozen=True)
class Flip:
    """A check whose result of some days is not what it was when they were published; `passes` is what it would be."""

    check: str
    severity: Severity
    passes: bool
    days: tuple[date, ...]


@dataclass(frozen=True)
class TablePreview:
    """A touched table of a tenant, previewed over `days`.

    `changes` are those of days that would be published; `stopped` the others, with the critical checks that stop them,
    and `stopped_changes` what they would change if nothing did; `missing` the days that were not made, since what they
    read was not. `existing_amounts` are the columns whose changes are changes of money; `bytes_a_day` is None where the
    engine does not count; `problem` says why the table was not previewed.
    """

    tenant_id: str
    touched: TouchedTable
    days: tuple[date, ...]
    schema: SchemaChanges | None = None
    key: tuple[str, ...] = ()
    has_declared_key: bool = False
    changes: dict[date, DayChanges] = field(default_factory=dict)
    existing_amounts: frozenset[str] = frozenset()
    examples: tuple[Example, ...] = ()
    flips: tuple[Flip, ...] = ()
    stopped: dict[date, tuple[str, ...]] = field(default_factory=dict)
    stopped_changes: dict[date, DayChanges] = field(default_factory=dict)
    missing: tuple[date, ...] = ()
    bytes_a_day: int | None = None
    problem: str | None = None

    @property
    def rows(self) -> RowChanges:
        """Of all days together that would be published."""
        return reduce(add, (changes.rows for changes in self.changes.values()), RowChanges())

    @property
    def amounts(self) -> Amounts:
        """Of all days together that would be published, by column and currency."""
        return together(self.changes)

    def moved(self, amounts: Amounts) -> Mapping[tuple[str, str], AmountChanges]:
        """Those of the amounts that change, of columns that are published."""
        return {name: change for name, change in amounts.items() if change.moved and name[0] in self.existing_amounts}


def together(changes: Mapping[date, DayChanges]) -> Amounts:
    """The amounts of several days, by column and currency."""
    return reduce(added, (one.amounts for one in changes.values()), {})


def changes_money(previews: Sequence[TablePreview]) -> bool:
    """Whether an amount of a published column changes in any table, also on a day that a check would stop."""
    return any(one.moved(one.amounts) or one.moved(together(one.stopped_changes)) for one in previews)
