"""The engine that a process keeps between two warehouses: as good as a new one, or closed."""

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pytest

from convergence_assets.warehouse.duckdb import attached_files
from convergence_assets.warehouse.duckdb import engine as module
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Column, Dataset, Query, TableRef, TableSchema

JOB = Job("run-1")


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    def let_go() -> None:
        for engine in module._idle_engines.values():
            engine.close()
        module._idle_engines.clear()

    let_go()
    yield
    let_go()


def used(folder: Path) -> Engine:
    with DuckDBWarehouse(folder) as warehouse:
        warehouse.read(Query("SELECT 1 AS one", {}), JOB)
        assert warehouse._opened is not None
        return warehouse._opened


def test_the_next_warehouse_of_a_folder_takes_the_same_engine(tmp_path: Path) -> None:
    assert used(tmp_path) is used(tmp_path)


def test_two_at_once_have_an_engine_each_and_one_is_kept(tmp_path: Path) -> None:
    with DuckDBWarehouse(tmp_path) as other:
        other.read(Query("SELECT 1 AS one", {}), JOB)
        own = used(tmp_path)
        assert own is not other._opened
    assert list(module._idle_engines.values()) == [own]


def test_another_folder_or_memory_limit_has_an_engine_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = used(tmp_path / "one")
    assert used(tmp_path / "two") is not first
    monkeypatch.setenv("CONVERGENCE_MEMORY_LIMIT", "100MB")
    limited = used(tmp_path / "two")
    assert limited.run("SELECT current_setting('memory_limit')") == [("95.3 MiB",)]
    assert list(module._idle_engines.values()) == [limited]


def test_after_an_error_the_engine_is_closed(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError), DuckDBWarehouse(tmp_path) as warehouse:
        warehouse.read(Query("SELECT CAST('a' AS INT64) AS one", {}), JOB)
    assert not module._idle_engines


@pytest.mark.parametrize("left", ["VIEW left_over AS SELECT 1", "TEMP TABLE left_over (one INT)"])
def test_what_was_attached_is_no_longer_and_what_is_left_closes_it(tmp_path: Path, left: str) -> None:
    engine = Engine.taken(tmp_path / "spill")
    engine.run(f"ATTACH '{tmp_path / 'a.duckdb'}' AS a")
    engine.give_back()
    assert Engine.taken(tmp_path / "spill") is engine
    assert engine.run("SELECT database_name FROM duckdb_databases() WHERE NOT internal") == [("memory",)]
    engine.run(f"CREATE {left}")
    engine.give_back()
    assert not module._idle_engines


def test_a_forked_process_leaves_its_parents_engine_alone(tmp_path: Path) -> None:
    kept = used(tmp_path)
    child = get_context("fork").Process(target=used, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert used(tmp_path) is kept


def test_a_dataset_that_was_written_before_is_brought_to_the_newer_storage_and_keeps_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, bills = TableRef("older", "days"), tmp_path / "bills.jsonl"
    bills.write_text('{"said": "a"}\n{"said": "b"}\n')
    said, more = Column("said", "STRING"), Column("more", "INT64")
    with monkeypatch.context() as before, DuckDBWarehouse(tmp_path) as warehouse:
        before.setattr(attached_files, "_STORED", "")
        warehouse.load_files(table, TableSchema((said,)), [SourceFile(str(bills), "jsonl")], JOB)
        file = warehouse._layout.dataset_file(Dataset.of(table))
    assert storage_version(file) == "v1.0.0+"
    with DuckDBWarehouse(tmp_path) as warehouse:
        assert warehouse.ensure_table(table, TableSchema((said, more))).added == ("more",)
        found = warehouse.read(Query("SELECT said, more FROM `older.days` ORDER BY said", {}), JOB)
    assert found.to_pydict() == {"said": ["a", "b"], "more": [None, None]}
    assert storage_version(file) == "v1.3.0+"


def storage_version(file: Path) -> str:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS found (READ_ONLY)")
        query = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'found'"
        return str(connection.execute(query).fetchall()[0][0])
