"""A source whose name ends with a star: all tables of a dataset that begin so, read as one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.assets.materialize import Report, StepRun
from convergence_assets.assets.source_columns import undeclared
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.cli.load import _table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import NotFound, SchemaMismatch
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.control_stores import sqlite_store
from tests.peer.peer_server import Peer

DAY = date(2026, 10, 2)
JOB = Job("run-1")
COLUMNS = (Column("user", "STRING"), Column("cost", "NUMERIC"))
TENANT = """\
tenant_id: acme
display_name: Acme
timezone: Europe/Berlin
owners: [finops@acme.example]
pipelines:
  - {template: visits, start_date: 2026-10-01}
"""
PIPELINE = """\
name: visits
description: Cost of visits
sources:
  events:
    table: analytics.events_*
    columns: [{name: user, type: STRING}, {name: cost, type: NUMERIC}]
%s
steps:
  - kind: bigquery
    table: visits
    description: A row a day
    partition_column: day
    columns: [{name: day, type: DATE, mode: REQUIRED}, {name: cost, type: NUMERIC}, {name: users, type: INT64}]
"""
SQL = """\
SELECT PARSE_DATE('%Y%m%d', _TABLE_SUFFIX) AS day, SUM(cost) AS cost, COUNT(DISTINCT user) AS users
FROM events
WHERE _TABLE_SUFFIX BETWEEN FORMAT_DATE('%Y%m%d', DATE(@partition_start, 'Europe/Berlin'))
  AND FORMAT_DATE('%Y%m%d', DATE(TIMESTAMP_SUB(@partition_end, INTERVAL 1 SECOND), 'Europe/Berlin'))
GROUP BY day
"""
WITH_A_LIST = """\
  budgets:
    table: "{{ budgets }}"
    columns: [{name: amount, type: NUMERIC}]
"""

Load = Callable[..., Tenant]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def tenant(pipeline: str = PIPELINE % "", sql: str = SQL, tenant_yaml: str = TENANT) -> Tenant:
        folder = tmp_path / "tenants" / "acme" / "pipelines" / "visits"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tenants" / "_defaults.yaml").write_text(
            "plans:\n  standard: {max_concurrent_runs: 2, daily_runs: 100, monthly_runs: 2000}\nplan: standard\n"
            'schedule: "0 6 * * *"\naccess: {acme: {tables: ["analytics.events_*"]}}\n'
        )
        (tmp_path / "tenants" / "acme" / "tenant.yaml").write_text(tenant_yaml)
        (folder / "pipeline.yaml").write_text(pipeline)
        (folder / "visits.sql").write_text(sql)
        registry = load_registry(str(tmp_path / "tenants"), None, today=date(2026, 11, 23))
        assert not registry.problems, [p.render() for p in registry.problems]
        return registry.tenants["acme"]

    return tenant


@pytest.fixture(params=["embedded", pytest.param("bigquery", marks=pytest.mark.peer)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "embedded":
        found = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": "tenants"})
    else:
        peer: Peer = request.getfixturevalue("peer")
        found = peer.settings(tmp_path / "home")
    sqlite_store(found.home / "control.db")
    return found


def fill(warehouse: Warehouse, name: str, rows: str, *more: Column) -> None:
    table, schema = TableRef("analytics", name), TableSchema((*COLUMNS, *more))
    warehouse.ensure_table(table, schema)
    staged = warehouse.stage_query(table, schema, [Query(f"SELECT * FROM UNNEST([{rows}])")], JOB)
    warehouse.publish(staged, [], JOB)


def events(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        fill(warehouse, "events_20261001", "STRUCT('a' AS user, NUMERIC '100' AS cost)")
        fill(
            warehouse,
            "events_20261002",
            "STRUCT('a' AS user, NUMERIC '1.5' AS cost), STRUCT('b', NUMERIC '2'), STRUCT('b', NUMERIC '0.25')",
        )
        fill(warehouse, "others_20261002", "STRUCT('c' AS user, NUMERIC '1000' AS cost)")


def run(settings: Settings, tenant: Tenant) -> Report:
    pipeline = tenant.pipelines[0]
    return StepRun(settings, tenant, pipeline, pipeline.steps[0]).run(Window.local(DAY, DAY, tenant.timezone), "run1")


def published(settings: Settings) -> list[dict[str, object]]:
    query = Query("SELECT day, cost, users FROM acme.visits WHERE day >= '2026-01-01'")
    with open_warehouse(settings) as warehouse:
        found: list[dict[str, object]] = warehouse.read(query, JOB).to_pylist()
        return [{**row, "cost": str(row["cost"]).rstrip("0")} for row in found]


def test_the_tables_whose_suffix_is_asked_for_are_read_and_no_others(settings: Settings, load: Load) -> None:
    events(settings)
    assert run(settings, load()).published == {DAY: 1}
    assert published(settings) == [{"day": DAY, "cost": "3.75", "users": 2}]


def test_beside_a_source_of_several_tables_it_is_read_as_well(settings: Settings, load: Load) -> None:
    events(settings)
    with open_warehouse(settings) as warehouse:
        for number in (1, 2):
            table, schema = TableRef("budgets", f"b{number}"), TableSchema((Column("amount", "NUMERIC"),))
            warehouse.ensure_table(table, schema)
            query = Query(f"SELECT NUMERIC '{number}' AS amount")
            warehouse.publish(warehouse.stage_query(table, schema, [query], JOB), [], JOB)
    tenant = load(
        (PIPELINE % WITH_A_LIST).replace("sources:", "parameters: {budgets: {type: tables}}\nsources:"),
        SQL.replace("SUM(cost) AS", "SUM(cost) + (SELECT SUM(amount) FROM budgets) AS"),
        TENANT.replace("template: visits", "template: visits, with: {budgets: [budgets.b1, budgets.b2]}"),
    )
    assert run(settings, tenant).published == {DAY: 1}
    assert published(settings) == [{"day": DAY, "cost": "6.75", "users": 2}]


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": "tenants"})


def test_a_star_and_its_suffix_can_be_asked_for_once(embedded: Settings) -> None:
    events(embedded)
    with open_warehouse(embedded) as warehouse:
        query = Query(
            "SELECT _TABLE_SUFFIX AS day, COUNT(*) AS n FROM `analytics.events_2026*` GROUP BY day ORDER BY day"
        )
        assert [tuple(row.values()) for row in warehouse.rows(query, JOB)] == [("1001", 1), ("1002", 3)]
        everything = warehouse.read(Query("SELECT * FROM `analytics.events_*`"), JOB)
        assert everything.column_names == ["user", "cost"]


def test_no_table_that_begins_so_is_an_error(embedded: Settings) -> None:
    events(embedded)
    with open_warehouse(embedded) as warehouse, pytest.raises(NotFound, match=r"analytics\.visits_\* does not match"):
        warehouse.rows(Query("SELECT COUNT(*) AS n FROM `analytics.visits_*`"), JOB)


def test_a_column_that_one_of_them_lacks_is_null_and_one_of_two_types_is_an_error(embedded: Settings) -> None:
    events(embedded)
    with open_warehouse(embedded) as warehouse:
        fill(warehouse, "events_20261003", "STRUCT('a' AS user, NUMERIC '1' AS cost, 7 AS n)", Column("n", "INT64"))
        query = Query("SELECT SUM(n) AS n, COUNTIF(n IS NULL) AS without FROM `analytics.events_*`")
        assert warehouse.rows(query, JOB) == [{"n": 7, "without": 4}]
        other = "STRUCT('a' AS user, NUMERIC '1' AS cost, 'x' AS n)"
        fill(warehouse, "events_20261004", other, Column("n", "STRING"))
        with pytest.raises(SchemaMismatch, match="n is INT64, and in events_20261004 STRING"):
            warehouse.rows(query, JOB)


def test_the_suffix_is_no_column_that_nobody_declared(embedded: Settings, load: Load) -> None:
    events(embedded)
    tenant = load()
    source = tenant.pipelines[0].steps[0].sources["events"]
    with open_warehouse(embedded) as warehouse:
        assert undeclared(warehouse, tenant, {"events": source}) == ()
        less = replace(source, spec=source.spec.model_copy(update={"columns": source.spec.columns[:1]}))
        assert undeclared(warehouse, tenant, {"events": less}) == ("events.cost",)


def test_a_load_says_which_of_the_tables_it_fills(load: Load) -> None:
    source = load().pipelines[0].steps[0].sources["events"]
    assert _table(source, "analytics.events_20261005") == "analytics.events_20261005"
    for chosen in (None, "analytics.others_1", "analytics.events_*", "analytics.events_; DROP"):
        with pytest.raises(Exception, match=r"is read from analytics\.events_\*"):
            _table(source, chosen)
