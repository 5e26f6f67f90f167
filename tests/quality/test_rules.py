"""The rules of FOCUS as data: one changed value breaks each, and one query counts the rows that break all."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.pipelines.rule_tables import Rule, rule_groups, rule_tables
from convergence_assets.quality.expectations import Expectation
from convergence_assets.quality.pushdown import Batch
from convergence_assets.quality.rules import judged_by_rules
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import Job, SourceFile, Warehouse
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.quality.focus_rows import FIRST_DAY, ROWS, mutants

FOCUS = rule_tables()["focus"]
DECIDED = [rule for rule in FOCUS if rule.violated]


def kinds() -> dict[str, str]:
    """The type of every column that a rule reads."""
    names = dict.fromkeys(name for rule in DECIDED for name in rule.columns)
    numbers = ("Cost", "Price", "Quantity")
    moments = ("PeriodStart", "PeriodEnd")
    return {
        name: "NUMERIC" if name.endswith(numbers) else "TIMESTAMP" if name.endswith(moments) else "STRING"
        for name in names
    }


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    home = tmp_path_factory.mktemp("home")
    with open_warehouse(
        Settings.from_env({"CONVERGENCE_HOME": str(home), "CONVERGENCE_WAREHOUSE": "embedded"})
    ) as opened:
        yield opened


def load(warehouse: Warehouse, folder: Path, table: str, rows: Sequence[tuple[date, Mapping[str, Any]]]) -> TableRef:
    types = {"STRING": pa.string(), "NUMERIC": pa.decimal128(38, 9), "TIMESTAMP": pa.timestamp("us", "UTC")}
    arrays: dict[str, Any] = {"usage_date": pa.array([day for day, _ in rows], pa.date32())}
    for name, kind in kinds().items():
        arrays[name] = pa.array([row.get(name) for _, row in rows], types[kind])
    pq.write_table(pa.table(arrays), folder / "rows.parquet")
    schema = TableSchema(
        (Column("usage_date", "DATE"), *(Column(name, kind) for name, kind in kinds().items())),  # type: ignore[arg-type]
        partition_column="usage_date",
    )
    loaded = TableRef.parse(f"acme.{table}")
    warehouse.load_files(loaded, schema, [SourceFile(str(folder / "rows.parquet"), "parquet")], Job(run_id=table))
    return loaded


def test_each_rule_is_broken_by_one_changed_value_and_a_change_of_any_column_by_some_rule(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    changed = list(mutants(kinds()))
    days = [FIRST_DAY + timedelta(days=n) for n in range(len(changed))]
    rows = [(day, row) for day, (_, pair) in zip(days, changed, strict=True) for row in pair]
    table = load(warehouse, tmp_path, "mutants", rows)
    flags = ", ".join(f"{r.violated.replace('{day}', 'usage_date')} AS r{n}" for n, r in enumerate(DECIDED))
    counts = ", ".join(f"COUNTIF(r{n}) > 0 AS r{n}" for n in range(len(DECIDED)))
    sql = f"SELECT usage_date, {counts} FROM (SELECT usage_date, {flags} FROM {table.quoted}) GROUP BY usage_date"
    found = warehouse.read(Query(sql), Job(run_id="mutants-read"))
    column_of = {day: column for day, (column, _) in zip(days, changed, strict=True)}
    columns = [column_of[day] for day in found.column("usage_date").to_pylist()]
    finds: dict[str, set[str]] = defaultdict(set)
    for number, rule in enumerate(DECIDED):
        broken = found.column(f"r{number}").to_pylist()
        finds[rule.id] = {column for column, is_broken in zip(columns, broken, strict=True) if is_broken}
    assert [rule.id for rule in DECIDED if not finds[rule.id] & set(rule.columns)] == []
    assert set(columns) == {column for found_in in finds.values() for column in found_in}


def judged(warehouse: Warehouse, table: TableRef, days: list[str], answered: int = 2, **changed: Any) -> dict[str, Any]:
    """Every group's outcome by its name, and the queries that it took; those after `answered` fail."""
    sent: list[str] = []

    def run_query(sql: str) -> pa.Table:
        sent.append(sql)
        if len(sent) > answered:
            raise ValueError("the warehouse said no")
        read = Query(sql.replace("{batch}", table.quoted))
        return warehouse.read(read, Job(run_id=f"{table.table}-{len(sent)}-{len(changed)}"))

    groups = rule_groups("focus", frozenset(kinds()))
    expectations = [Expectation(str(g.meta["name"]), g.type, g.kwargs, g.severity) for g in groups]
    batch = Batch(run_query, lambda table: table, None, {})  # type: ignore[arg-type]
    arguments = {"sensitive": frozenset()} | changed
    outcomes = judged_by_rules(batch, dict(enumerate(expectations)), "usage_date", days, **arguments)
    return {outcome.name: outcome for outcome in outcomes.values()} | {"queries": len(sent)}


def test_rows_that_hold_all_rules_take_one_query_and_every_rule_has_an_outcome(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    table = load(warehouse, tmp_path, "right", [(FIRST_DAY, row) for row in ROWS])
    outcomes = judged(warehouse, table, [str(FIRST_DAY)])
    assert outcomes.pop("queries") == 1
    assert [(r.name, r.examples) for o in outcomes.values() for r in o.rules if not r.passed] == []
    assert sorted(r.name for o in outcomes.values() for r in o.rules) == sorted(rule.id for rule in DECIDED)
    assert len(outcomes) <= 12


def test_a_broken_rule_is_told_with_its_day_its_count_and_examples(warehouse: Warehouse, tmp_path: Path) -> None:
    second = FIRST_DAY + timedelta(days=1)
    wrong = [ROWS[0] | {"BillingCurrency": "XYZ", "BillingAccountId": account} for account in ("one", "two")]
    table = load(warehouse, tmp_path, "wrong", [(FIRST_DAY, ROWS[0]), *((second, row) for row in wrong)])
    outcomes = judged(warehouse, table, [str(FIRST_DAY), str(second)])
    assert outcomes["queries"] == 2
    money = outcomes["focus_money_critical"]
    assert (money.passed, money.failed_partitions, money.unexpected_count) == (False, (str(second),), 2)
    assert money.examples == ("BillingCurrency-C-006-M: BillingCurrency=XYZ",)
    [broken] = [rule for rule in money.rules if not rule.passed]
    assert (broken.name, broken.unexpected_count, broken.column) == ("BillingCurrency-C-006-M", 2, "BillingCurrency")
    hidden = judged(warehouse, table, [str(second)], sensitive=frozenset({"BillingCurrency"}))["focus_money_critical"]
    assert hidden.examples == ("BillingCurrency-C-006-M: BillingCurrency=***",)


def test_rules_that_hold_do_not_fail_where_the_examples_of_others_cannot_be_read(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    table = load(warehouse, tmp_path, "unread", [(FIRST_DAY, ROWS[0] | {"BillingCurrency": "XYZ"})])
    outcomes = judged(warehouse, table, [str(FIRST_DAY)], answered=1)
    assert outcomes.pop("queries") == 2
    broken = [rule for outcome in outcomes.values() for rule in outcome.rules if not rule.passed]
    assert [(rule.name, rule.unexpected_count, rule.examples) for rule in broken] == [
        ("BillingCurrency-C-006-M", 1, ())
    ]


def test_without_an_answer_every_rule_has_failed() -> None:
    def run_query(sql: str) -> pa.Table:
        raise ValueError("the warehouse said no")

    groups = rule_groups("focus", frozenset(kinds()))
    expectations = {n: Expectation(str(g.meta["name"]), g.type, g.kwargs, g.severity) for n, g in enumerate(groups)}
    batch = Batch(run_query, lambda table: table, None, {})  # type: ignore[arg-type]
    outcomes = judged_by_rules(batch, expectations, "usage_date", [str(FIRST_DAY)], frozenset())
    assert all(not rule.passed for outcome in outcomes.values() for rule in outcome.rules)
    assert {outcome.error for outcome in outcomes.values()} == {"ValueError: the warehouse said no"}


def severity_of(rule: Rule) -> str:
    if rule.level != "MUST":
        return "info"
    return "critical" if rule.subject in ("money", "identity") else "warning"


def test_a_rules_severity_follows_its_level_and_subject() -> None:
    assert [rule.id for rule in DECIDED if rule.severity != severity_of(rule)] == []
    assert len({rule.id for rule in FOCUS}) == len(FOCUS)
    assert len({rule.subject for rule in FOCUS}) * 3 <= 12
