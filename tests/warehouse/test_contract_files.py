"""What every warehouse adapter promises: files that are staged and loaded."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import SourceFile
from convergence_assets.warehouse.schema import Column, Dataset, TableRef, TableSchema
from tests.warehouse.contract import DAY, JOB, TABLE, Open, published


def test_files_of_every_format_are_staged_alike(opened: Open, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = TableSchema(
        columns=(Column("day", "DATE"), Column("name", "STRING"), Column("cost", "NUMERIC")), partition_column="day"
    )
    (tmp_path / "a.csv").write_text('name,cost\n"x, y",1.5\n,2.25\n')
    (tmp_path / "a.jsonl").write_text('{"name": "x, y", "cost": 1.5}\n{"cost": 2.25}\n')
    pq.write_table(
        pa.table({"name": ["x, y", None], "cost": [Decimal("1.5"), Decimal("2.25")]}), tmp_path / "a.parquet"
    )
    with opened() as warehouse:
        found = []
        for kind in ("csv", "jsonl", "parquet"):
            staged = warehouse.stage_files(TABLE, schema, [SourceFile(str(tmp_path / f"a.{kind}"), kind, DAY)], JOB)
            read = warehouse.read_staged(staged, ["day", "name", "cost"], JOB)
            found.append(sorted(read.to_pylist(), key=lambda r: r["cost"]))
        expected = [
            {"day": DAY, "name": "x, y", "cost": Decimal("1.5")},
            {"day": DAY, "name": None, "cost": Decimal("2.25")},
        ]
        assert found == [expected] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,cost,extra\na,1,2\n", "extra is not declared"),
        ("name,cost\na,expensive\n", "bad.csv:2 cost: expensive; expected a decimal number"),
    ],
)
def test_a_file_that_does_not_fit_is_named(opened: Open, tmp_path: Path, text: str, message: str) -> None:
    schema = TableSchema(
        columns=(Column("day", "DATE"), Column("name", "STRING"), Column("cost", "NUMERIC")), partition_column="day"
    )
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with opened() as warehouse, pytest.raises(SchemaMismatch, match=message) as caught:
        warehouse.stage_files(TABLE, schema, [SourceFile(str(file), "csv", DAY)], JOB)
    assert str(file) in str(caught.value)


def test_loading_a_source_twice_leaves_one_copy_of_each_day(opened: Open, tmp_path: Path) -> None:
    schema = TableSchema(
        columns=(Column("at", "TIMESTAMP"), Column("cost", "FLOAT64"), Column("_PARTITIONTIME", "TIMESTAMP")),
        partition_column="_PARTITIONTIME",
        ingestion_time_from="at",
    )
    source = TableRef("exports", "bills")
    file = tmp_path / "bills.jsonl"
    file.write_text('{"at": "2026-03-01T05:00:00Z", "cost": 1}\n{"at": "2026-03-02T23:59:59Z", "cost": 2}\n')
    with opened() as warehouse:
        for _ in range(2):
            assert warehouse.load_files(source, schema, [SourceFile(str(file), "jsonl")], JOB).rows == 2
        sql = "SELECT `at`, _PARTITIONTIME AS day FROM exports.bills ORDER BY `at`"
        assert published(warehouse, sql)[1] == (
            datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC),
            datetime(2026, 3, 2, tzinfo=UTC),
        )
        assert len(published(warehouse, sql)) == 2
        assert warehouse.tables_of(Dataset("exports")) == [source]
