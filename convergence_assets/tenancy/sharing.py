"""The owner of each row of a shared source, by the project or the labels of a bill."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import re2

from convergence_assets.tenancy.tenant_file import Defaults, Share
from convergence_assets.warehouse.schema import TableRef

REST = "_rest"
"""The owner of the rows that are no tenant's."""


def place_of(name: str, own_project: str | None) -> str:
    """A table's name, the same however it is written: `project.dataset.table` in lower case."""
    table = TableRef.parse(name)
    return f"{table.project or own_project or ''}.{table.dataset}.{table.table.partition('$')[0]}".lower()


@dataclass(frozen=True)
class SharedSource:
    """A table with its shares in the order of the operator's file: a row belongs to the first that it fits, or to the
    rest."""

    table: str
    shares: Mapping[str, Share]
    own_project: str | None = None

    def is_among(self, names: Iterable[str]) -> bool:
        """Whether one of these tables is this one, however it is written."""
        place = place_of(self.table, self.own_project)
        return any(place_of(name, self.own_project) == place for name in names)

    def condition(self, owner: str) -> str:
        """In BigQuery SQL, over the table's own columns: TRUE for the rows of a tenant or of `REST`, and never NULL."""
        others = list(self.shares)[: list(self.shares).index(owner)] if owner != REST else list(self.shares)
        before = [f"NOT {_fits(self.shares[other])}" for other in others if self._may_share_a_row(owner, other)]
        own_condition = [] if owner == REST else [_fits(self.shares[owner])]
        return " AND ".join([*own_condition, *before]) or "TRUE"

    @property
    def columns(self) -> Sequence[str]:
        """The columns that the conditions read."""
        read = {"project": any(s.projects for s in self.shares.values()),
                "labels": any(s.labels for s in self.shares.values())}  # fmt: skip
        return [name for name, is_read in read.items() if is_read]

    def _may_share_a_row(self, owner: str, other: str) -> bool:
        if owner == REST:
            return True
        one, two = self.shares[owner].projects, self.shares[other].projects
        return not one or not two or any(_may_overlap(a, b) for a in one for b in two)


def shared_sources(defaults: Defaults, own_project: str | None) -> dict[str, SharedSource]:
    """By `place_of`."""
    return {
        place_of(table, own_project): SharedSource(table, shares, own_project)
        for table, shares in defaults.shared_sources.items()
    }


def _fits(share: Share) -> str:
    conditions = list(_conditions(share))
    return f"COALESCE({' AND '.join(conditions)}, FALSE)"


def _conditions(share: Share) -> Iterator[str]:
    if share.projects:
        yield f"({' OR '.join(_matches('project.id', pattern) for pattern in share.projects)})"
    for key, value in share.labels.items():
        yield (
            f"EXISTS(SELECT 1 FROM UNNEST(labels) AS label "
            f"WHERE label.key = {_literal(key)} AND {_matches('label.value', value)})"
        )


def _matches(column: str, pattern: str) -> str:
    """A pattern has `*` for any characters, and matches the whole text."""
    if "*" not in pattern:
        return f"{column} = {_literal(pattern)}"
    if pattern.count("*") == 1 and pattern.endswith("*"):
        return f"STARTS_WITH({column}, {_literal(pattern[:-1])})"
    whole = ".*".join(re2.escape(part) for part in pattern.split("*"))
    return f"REGEXP_CONTAINS({column}, {_literal(f'(?s)^{whole}$')})"


def _may_overlap(one: str, other: str) -> bool:
    """Whether a text may fit both patterns, judged by their beginnings."""
    first, second = one.partition("*")[0], other.partition("*")[0]
    if "*" not in one and "*" not in other:
        return one == other
    if "*" not in one:
        return re.fullmatch(re.escape(other).replace(r"\*", ".*"), one, re.DOTALL) is not None
    if "*" not in other:
        return re.fullmatch(re.escape(one).replace(r"\*", ".*"), other, re.DOTALL) is not None
    return first.startswith(second) or second.startswith(first)


def _literal(text: str) -> str:
    from sqlglot import exp

    return exp.Literal.string(text).sql(dialect="bigquery")
