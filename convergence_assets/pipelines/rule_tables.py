"""Rules as data: what a specification demands of a table's rows, a condition a rule, in a CSV file of `rules/`.

A rule without a condition demands that its column is there; it is held when the template is loaded.
"""

import csv
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from convergence_assets.pipelines.models import ExpectationSpec, Severity

RULES = "rules"
"""The type of an expectation that stands for the rules of one subject and severity: one check in Dagster."""


@dataclass(frozen=True)
class Rule:
    """A clause of a specification, under the specification's own id, or one of ours that begins with `x-`.

    `violated` is BigQuery SQL, true for a row that breaks the rule; in it `{day}` is the table's partition column.
    """

    id: str
    since: str
    level: str
    subject: str
    severity: Severity
    columns: tuple[str, ...]
    violated: str
    clause: str


@lru_cache(maxsize=1)
def rule_tables() -> Mapping[str, tuple[Rule, ...]]:
    """The rules of every file by the name that a suite's `rules` has."""
    return {"focus": tuple(_read(_text("focus")))}


@lru_cache(maxsize=16)
def digest(name: str) -> str:
    """A hash of all rules of a table."""
    return hashlib.sha256(_text(name).encode()).hexdigest()


def missing_columns(name: str, columns: Collection[str]) -> Iterator[Rule]:
    """The rules that demand, without a condition, a column that is not among these."""
    for rule in rule_tables()[name]:
        if not rule.violated and rule.level == "MUST" and not set(rule.columns) <= set(columns):
            yield rule


def rules_of(name: str, columns: Collection[str]) -> tuple[Rule, ...]:
    """The rules that rows of a table with these columns can break."""
    return tuple(rule for rule in rule_tables()[name] if rule.violated and set(rule.columns) <= set(columns))


@lru_cache(maxsize=256)
def rule_groups(
    name: str, columns: frozenset[str], severities: frozenset[tuple[str, Severity]] = frozenset()
) -> tuple[ExpectationSpec, ...]:
    """The rules by subject and severity, one expectation each; `severities` are a tenant's own, by the rules' ids."""
    changed = dict(severities)
    groups: dict[tuple[str, Severity], list[Rule]] = {}
    for rule in rules_of(name, columns):
        groups.setdefault((rule.subject, changed.get(rule.id, rule.severity)), []).append(rule)
    return tuple(
        ExpectationSpec(
            type=RULES,
            kwargs={"rules": [_as_json(rule) for rule in rules]},
            severity=severity,
            meta={
                "name": f"{name}_{subject}_{severity}",
                "reason": f"{len(rules)} rules of {name.upper()} about {subject}, each a row of the results",
            },
        )
        for (subject, severity), rules in sorted(groups.items())
    )


def _as_json(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "level": rule.level,
        "columns": list(rule.columns),
        "violated": rule.violated,
        "clause": rule.clause,
    }


def _text(name: str) -> str:
    return files("convergence_assets.pipelines").joinpath("rules", f"{name}.csv").read_text(encoding="utf-8")


def _read(text: str) -> Iterator[Rule]:
    for row in csv.DictReader(text.splitlines()):
        yield Rule(**(row | {"columns": tuple(row["columns"].split())}))
