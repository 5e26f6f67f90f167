"""Rules that come in hundreds: one query counts the rows that break each, a second one, where rows do, lists examples.

An expectation of the type `rules` stands for those of one subject and severity; its outcome holds one a rule.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convergence_assets.quality.aggregates import partition_key
from convergence_assets.quality.engine import message_of
from convergence_assets.quality.expectations import EXAMPLES_KEPT, CheckOutcome, Expectation, PartitionOutcome
from convergence_assets.quality.values import ERROR_LENGTH, MASK, shortened

if TYPE_CHECKING:
    import pyarrow as pa

    from convergence_assets.quality.pushdown import Batch

RULES = "rules"
RULE = "rule"
"""The expectation type of one rule's outcome."""
EXAMPLES_OF_A_RULE = 6
"""Of a run over many partitions; a partition has two."""
EXAMPLE_LENGTH = 500
_PREFIX = "convergence_"  # so that no alias hides a column


@dataclass(frozen=True)
class _Rule:
    id: str
    number: int
    columns: tuple[str, ...]
    violated: str
    clause: str
    level: str

    @property
    def flag(self) -> str:
        return f"{_PREFIX}r{self.number}"

    @property
    def compares_rows(self) -> bool:
        return " OVER (" in self.violated


def judged_by_rules(
    batch: "Batch",
    expectations: Mapping[int, Expectation],
    partition_column: str,
    partitions: Sequence[str],
    sensitive: frozenset[str],
) -> dict[int, CheckOutcome]:
    """The outcome of each expectation of the type `rules`, by position.

    A query that fails has failed every rule; an error that may pass (`retryable`) is raised, for the step to be
    retried.
    """
    if not expectations:
        return {}
    rules = {position: _rules(expectation) for position, expectation in expectations.items()}
    # Clauses of several columns may have one condition.
    conditions = dict.fromkeys(rule["violated"] for group in rules.values() for rule in group)
    numbered = {violated: number for number, violated in enumerate(conditions)}
    by_position = {
        position: [
            _Rule(r["id"], numbered[r["violated"]], tuple(r["columns"]), r["violated"], r["clause"], r["level"])
            for r in group
        ]
        for position, group in rules.items()
    }
    judge = _Judge(batch, partition_column, tuple(partitions), sensitive)
    judged = judge.judged([rule for group in by_position.values() for rule in group])
    return {p: _grouped(e, by_position[p], judged, tuple(partitions)) for p, e in expectations.items()}


def _distinct(rules: Sequence[_Rule]) -> Sequence[_Rule]:
    """One rule a condition."""
    return tuple({rule.number: rule for rule in rules}.values())


def _rules(expectation: Expectation) -> list[dict[str, Any]]:
    return list(expectation.kwargs["rules"])


@dataclass(frozen=True)
class _Judge:
    batch: "Batch"
    partition_column: str
    partitions: tuple[str, ...]
    sensitive: frozenset[str]

    def judged(self, rules: Sequence[_Rule]) -> dict[str, dict[str, PartitionOutcome]]:
        """By rule and partition."""
        try:
            rows = self._run(self._counting(rules)).to_pylist()
            counts = {partition_key(row[f"{_PREFIX}partition"]): row for row in rows}
            broken = [r for r in rules if any(row[r.flag] for row in counts.values())]
        except Exception as error:
            if getattr(error, "retryable", False):
                raise
            failed = PartitionOutcome(passed=False, error=self._error(error))
            return {rule.id: dict.fromkeys(self.partitions, failed) for rule in rules}
        try:
            shown = self._examples(broken) if broken else {}
        except Exception as error:
            if getattr(error, "retryable", False):
                raise
            shown = {}  # what is broken is known without them
        # A row that lies in no partition of the run is the matter of another check, which is critical.
        return {
            rule.id: {
                key: _outcome(counts.get(key, {}), rule, shown.get((rule.id, key), ())) for key in self.partitions
            }
            for rule in rules
        }

    def _counting(self, rules: Sequence[_Rule]) -> str:
        """How many rows break each rule, by partition. What compares rows reads its own columns alone."""
        compared = [rule for rule in _distinct(rules) if rule.compares_rows]
        counted = self._counts([rule for rule in _distinct(rules) if not rule.compares_rows], "{batch}")
        if not compared:
            return counted
        flags = "".join(f", {rule.flag}" for rule in compared)
        return (
            f"SELECT each_row.*{flags}\nFROM (\n{counted}\n) AS each_row\n"
            f"JOIN (\n{self._counts(compared, self._source(compared))}\n) AS rows_compared\n"
            f"ON each_row.{_PREFIX}partition = rows_compared.{_PREFIX}partition"
        )

    def _counts(self, rules: Sequence[_Rule], source: str) -> str:
        counted = "".join(f",\nCOUNTIF({self._condition(rule)}) AS {rule.flag}" for rule in rules)
        return (
            f"SELECT `{self.partition_column}` AS {_PREFIX}partition, COUNT(*) AS {_PREFIX}rows{counted}\n"
            f"FROM {source}\nGROUP BY `{self.partition_column}`"
        )

    def _condition(self, rule: _Rule) -> str:
        return f"{rule.flag}w" if rule.compares_rows else rule.violated

    def _source(self, rules: Sequence[_Rule]) -> str:
        """The batch, with what compares a row with others."""
        compared = [rule for rule in _distinct(rules) if rule.compares_rows]
        if not compared:
            return "{batch}"
        day = f"`{self.partition_column}`"
        added = ",\n".join(f"{rule.violated.replace('{day}', day)} AS {rule.flag}w" for rule in compared)
        names = dict.fromkeys([self.partition_column, *(name for rule in rules for name in rule.columns)])
        return f"(SELECT {', '.join(f'`{name}`' for name in names)},\n{added}\nFROM {{batch}})"

    def _examples(self, rules: Sequence[_Rule]) -> dict[tuple[str, str], list[str]]:
        """By rule and partition two rows that break it: the first and the last of them as texts are ordered."""
        distinct = _distinct(rules)
        ends = "".join(
            f",\n{function}(IF({self._condition(rule)}, {self._row_text(rule)}, NULL)) AS {rule.flag}{end}"
            for rule in distinct
            for function, end in (("MIN", "first"), ("MAX", "last"))
        )
        sql = (
            f"SELECT `{self.partition_column}` AS {_PREFIX}partition{ends}\nFROM {self._source(rules)}\n"
            f"GROUP BY `{self.partition_column}`"
        )
        shown: dict[tuple[str, str], list[str]] = {}
        for row in self._run(sql).to_pylist():
            key = str(partition_key(row[f"{_PREFIX}partition"]))
            for rule in rules:
                texts = dict.fromkeys(row[f"{rule.flag}{end}"] for end in ("first", "last"))
                shown[rule.id, key] = [shortened(text, EXAMPLE_LENGTH) for text in texts if text is not None]
        return shown

    def _row_text(self, rule: _Rule) -> str:
        hidden = {name.lower() for name in self.sensitive}
        parts = []
        for number, name in enumerate(rule.columns):
            parts.append(f"'{', ' if number else ''}{name}='")
            is_hidden = name.lower() in hidden
            parts.append(f"'{MASK}'" if is_hidden else f"COALESCE(CAST(`{name}` AS STRING), 'null')")
        return f"CONCAT({', '.join(parts)})"

    def _run(self, sql: str) -> "pa.Table":
        return (self.batch.run_shipped or self.batch.run_query)(sql)

    def _error(self, error: Exception) -> str:
        if self.sensitive:
            return f"{type(error).__name__} (its text may hold values of a sensitive column and is not shown)"
        return shortened(message_of(error), ERROR_LENGTH)


def _outcome(counts: Mapping[str, Any], rule: _Rule, shown: Sequence[str]) -> PartitionOutcome:
    broken, rows = int(counts.get(rule.flag, 0)), int(counts.get(f"{_PREFIX}rows", 0))
    return PartitionOutcome(
        passed=not broken,
        unexpected_count=broken,
        unexpected_percent=100 * broken / rows if rows else 0.0,
        examples=tuple(shown),
        considered=rows,
    )


def _grouped(
    expectation: Expectation,
    rules: Sequence[_Rule],
    judged: Mapping[str, Mapping[str, PartitionOutcome]],
    partitions: tuple[str, ...],
) -> CheckOutcome:
    """One outcome over all rules of the expectation, which it holds."""
    outcomes = tuple(_of_rule(rule, expectation, judged[rule.id]) for rule in rules)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    days = {key: _together(outcomes, key) for key in partitions}
    return CheckOutcome(
        name=expectation.name,
        type=expectation.type,
        column=None,
        severity=expectation.severity,
        passed=bool(days) and not failed,
        observed_value=f"{len(failed)} of {len(outcomes)} rules are broken" if failed else None,
        unexpected_count=sum(outcome.unexpected_count or 0 for outcome in outcomes),
        examples=tuple(_examples(failed)),
        error=next((outcome.error for outcome in failed if outcome.error), None),
        partitions=days,
        rules=outcomes,
    )


def _of_rule(rule: _Rule, group: Expectation, days: Mapping[str, PartitionOutcome]) -> CheckOutcome:
    failed = [day for day in days.values() if not day.passed]
    counts = sum(day.unexpected_count or 0 for day in days.values())
    rows = sum(day.considered or 0 for day in days.values())
    return CheckOutcome(
        name=rule.id,
        type=RULE,
        column=", ".join(rule.columns),
        severity=group.severity,
        passed=bool(days) and not failed,
        unexpected_count=counts,
        unexpected_percent=100 * counts / rows if rows else None,
        examples=tuple(dict.fromkeys(e for day in failed for e in day.examples))[:EXAMPLES_OF_A_RULE],
        error=failed[0].error if failed else None,
        partitions=days,
        clause=f"{rule.level}: {rule.clause}",
    )


def _together(outcomes: Sequence[CheckOutcome], key: str) -> PartitionOutcome:
    on_the_day = [replace(outcome, partitions={key: outcome.partitions[key]}) for outcome in outcomes]
    failed = [outcome for outcome in on_the_day if not outcome.partitions[key].passed]
    return PartitionOutcome(
        passed=not failed,
        observed_value=f"{len(failed)} of {len(outcomes)} rules are broken" if failed else None,
        unexpected_count=sum(outcome.partitions[key].unexpected_count or 0 for outcome in outcomes),
        examples=tuple(_examples(failed)),
        error=next((o.partitions[key].error for o in failed if o.partitions[key].error), None),
    )


def _examples(failed: Sequence[CheckOutcome]) -> Iterator[str]:
    """One a broken rule, so that the first of them do not hide the others."""
    for outcome in failed[:EXAMPLES_KEPT]:
        first = next((example for day in outcome.partitions.values() for example in day.examples), "")
        yield f"{outcome.name}: {first}" if first else outcome.name
