"""Tables and publications of others that have the name of a table's version."""

from dataclasses import replace

import duckdb
import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.warehouse.errors import NameTaken
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Dataset, TableRef, version_number
from tests.preview.fleet import DAYS, Fleet
from tests.preview.upgrades import columns, is_upgraded, recorded, rename, rows_of, total, upgrade


def _former_step(fleet: Fleet, table: str, *, with_table: bool = True) -> None:
    """What a step of this name has left that the tenant has no more: a table of one column more, and publications."""
    if with_table:
        with open_warehouse(fleet.settings) as warehouse:
            schema = warehouse.existing_schema(TableRef("acme", "lines"))
            assert schema
            warehouse.ensure_table(TableRef("acme", table), replace(schema, description="of another step"))
    publications = Publications(ControlStore.open(fleet.settings, fleet.variables))
    through = publications.newest_version()
    publications.record("acme", "other", table, dict.fromkeys(DAYS, 6), run_id="other", read_through=through)


def _names(fleet: Fleet) -> set[str]:
    with open_warehouse(fleet.settings) as warehouse:
        return {one.table for one in warehouse.tables_of(Dataset("acme"))}


@pytest.mark.parametrize("table", ["lines__v1", "lines__v2"])
def test_a_table_that_another_step_made_is_neither_overwritten_nor_dropped(fleet: Fleet, table: str) -> None:
    _former_step(fleet, table)
    before = recorded(fleet, table)
    rename(fleet)
    for words in (("--apply",), ("--rollback",), ("--drop-former",)):
        code, _, err = upgrade(fleet, *words)
        if words == ("--apply",):
            assert (code, f"there is a table acme.{table} that is no version of it" in err) == (1, True), err
    assert table in _names(fleet)
    assert recorded(fleet, table) == before
    assert "region" in columns(fleet)
    assert recorded(fleet).keys() == set(DAYS)


def test_former_versions_are_dropped_and_not_another_steps_table(fleet: Fleet) -> None:
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    _former_step(fleet, "lines__v7")
    code, (dropped,), err = upgrade(fleet, "--drop-former")
    assert (code, dropped["outcome"]) == (0, "dropped acme.lines__v1"), err
    assert "lines__v7" in _names(fleet)
    assert recorded(fleet, "lines__v7").keys() == set(DAYS)


def test_publications_that_another_step_has_left_keep_no_run_and_no_upgrade_out(fleet: Fleet) -> None:
    before = total(fleet)
    _former_step(fleet, "lines__v1", with_table=False)
    fleet.publish("acme", days=(DAYS[1], DAYS[1]))
    assert upgrade(fleet, "--apply") == (0, [], "")
    assert recorded(fleet).keys() == set(DAYS)
    rename(fleet)
    assert upgrade(fleet, "--apply")[0] == 0
    assert is_upgraded(fleet)
    assert {one.pipeline for one in recorded(fleet, "lines__v1").values()} == {""}
    assert upgrade(fleet, "--rollback")[0] == 0
    assert total(fleet) == before
    assert rows_of(fleet, DAYS[0]) == 6


@pytest.mark.parametrize(
    ("name", "number"),
    [("lines__v2", 2), ("lines__v02", None), ("lines__v0", None), ("lines__v²", None), ("lines__v", None),
     ("lines", None), ("my_lines__v2", None), ("lines__v1__v2", None)],
)  # fmt: skip
def test_a_version_has_one_name(name: str, number: int | None) -> None:
    assert version_number(name, "lines") == number


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
@pytest.mark.parametrize("name", ["lines__v1", "lines__v2"])
def test_what_a_person_made_under_a_versions_name_is_neither_overwritten_nor_dropped(
    fleet: Fleet, kind: str, name: str
) -> None:
    file = str(fleet.folder / "home" / "warehouse" / "datasets" / "acme.duckdb")
    with duckdb.connect(file) as own:
        own.execute(f"CREATE {kind} {name} AS SELECT 42 AS x")
    rename(fleet)
    code, _, err = upgrade(fleet, "--apply")
    assert (code, f"there is a table acme.{name} that is no version of it" in err) == (1, True), err
    with open_warehouse(fleet.settings) as warehouse:
        table, new = TableRef("acme", "lines"), TableRef("acme", "lines__v9")
        schema = warehouse.existing_schema(table)
        assert schema
        warehouse.ensure_table(new, replace(schema, version=9))
        with pytest.raises(NameTaken, match=f"there is acme.{name}"):
            warehouse.switch_table(table, new, TableRef("acme", name), Job("switch"))
    with duckdb.connect(file) as own:
        assert own.sql(f"SELECT x FROM {name}").fetchall() == [(42,)]
    assert "region" in columns(fleet)
    assert rows_of(fleet, DAYS[0]) == 6
