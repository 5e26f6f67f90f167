"""BIGNUMERIC out of CSV, JSON Lines and Parquet, digit for digit."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.duckdb.parquet import files_to_parquet
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import SourceFile
from convergence_assets.warehouse.schema import Query
from tests.warehouse.duckdb.bignumeric_numbers import UNIT, D
from tests.warehouse.duckdb.bignumeric_tables import ANY_COLUMN, DAY, DIGITS, JOB, SCHEMA, load, read


def test_csv_is_loaded_digit_for_digit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text(f"day,x,m\n2026-03-01,{DIGITS},2\n2026-03-01,,3\n2026-03-01,1e-38,\n")
    assert load(warehouse, file, "csv") == 3
    assert read(warehouse, "SELECT x FROM acme.costs ORDER BY x") == [None, DIGITS, UNIT]
    for text in ("abc", "5e-39", "5.8e38"):
        file.write_text(f"day,x\n2026-03-01,{text}\n")
        with pytest.raises(SchemaMismatch, match=rf"day\.csv:2 x: {text}; expected a decimal number"):
            load(warehouse, file, "csv")


def test_json_lines_are_loaded_digit_for_digit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    many = 12345678901234567890123456789012345678
    nested = {"r": [{"v": "0.5", "k": "z"}, {"v": None}], "s": {"v": many}, "l": [str(DIGITS), 3]}
    lines = [{"day": "2026-03-01", "x": str(DIGITS), **nested}, {"day": "2026-03-01", "x": many}, {"day": "2026-03-01"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert load(warehouse, file, "jsonl") == 3
    assert read(warehouse, "SELECT x FROM acme.costs ORDER BY x") == [None, DIGITS, D(many)]
    found = warehouse.read(Query("SELECT r, s, l FROM acme.costs ORDER BY x"), JOB).to_pylist()
    assert found[0] == {"r": [], "s": None, "l": []}
    assert found[1] == {
        "r": [{"v": D("0.5"), "k": "z"}, {"v": None, "k": None}], "s": {"v": D(many), "k": None}, "l": [DIGITS, D(3)],
    }  # fmt: skip
    file.write_text(f'{{"day": "2026-03-01", "x": {DIGITS}}}\n')
    assert load(warehouse, file, "jsonl") == 1
    assert read(warehouse, "SELECT x FROM acme.costs") == [DIGITS]


def parquet(file: Path, **columns: pa.Array) -> Path:
    days = pa.array([DAY] * len(next(iter(columns.values()))))
    pq.write_table(pa.table({"day": days, **columns}), file)
    return file


def test_parquet_is_loaded_digit_for_digit(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    large = pa.decimal256(76, 38)
    file = parquet(
        tmp_path / "large.parquet",
        x=pa.array([DIGITS, None, UNIT], large),
        m=pa.array([D("1.5")] * 3, pa.decimal128(38, 9)),
        s=pa.array(
            [{"v": DIGITS, "k": "b"}, None, {"v": None, "k": "c"}], pa.struct([("v", large), ("k", pa.string())])
        ),
        l=pa.array([[DIGITS, UNIT], [], None], pa.list_(large)),
    )
    assert load(warehouse, file, "parquet") == 3
    assert warehouse.read(Query("SELECT x, m, s, l FROM acme.costs ORDER BY x"), JOB).to_pylist() == [
        {"x": None, "m": D("1.5"), "s": None, "l": []},
        {"x": DIGITS, "m": D("1.5"), "s": {"v": DIGITS, "k": "b"}, "l": [DIGITS, UNIT]},
        {"x": UNIT, "m": D("1.5"), "s": {"v": None, "k": "c"}, "l": []},
    ]
    for array, held in (
        (pa.array([D("1.1234567890123456789")], pa.decimal128(38, 30)), D("1.1234567890123456789")),
        (pa.array([5], pa.int32()), D(5)),
        (pa.array([D("7.5")], pa.decimal256(50, 1)), D("7.5")),
        (pa.array([5.1]), D("5.1")),
        (pa.array(["5.5"]), D("5.5")),
    ):
        assert load(warehouse, parquet(tmp_path / "other.parquet", x=array), "parquet") == 1
        assert read(warehouse, "SELECT x FROM acme.costs") == [held]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([float("nan")]), "x: nan; expected a decimal number"),
        (pa.array(["5,5"]), "x: 5,5; expected a decimal number"),
        (pa.array([D("1e40")], pa.decimal256(76, 0)), "a decimal does not fit BIGNUMERIC"),
        (pa.array([D("1e-40")], pa.decimal256(76, 40)), "a decimal does not fit BIGNUMERIC"),
    ],
    ids=["double", "text", "beyond", "below"],
)
def test_parquet_that_does_not_fit_is_refused(
    warehouse: DuckDBWarehouse, tmp_path: Path, array: pa.Array, message: str
) -> None:
    with pytest.raises(SchemaMismatch, match=message) as raised:
        load(warehouse, parquet(tmp_path / "day.parquet", x=array), "parquet")
    assert ".py" not in str(raised.value)


def test_files_go_into_parquet_with_their_decimals(tmp_path: Path) -> None:
    file, into = tmp_path / "day.csv", tmp_path / "made" / "rows.parquet"
    into.parent.mkdir()
    file.write_text(f"day,x\n2026-03-01,{DIGITS}\n2026-03-01,\n")
    files_to_parquet(into, SCHEMA, [SourceFile(str(file), "csv")], ANY_COLUMN, exact=False)
    table = pq.read_table(into)
    assert table.schema.field("x").type == pa.decimal256(76, 38)
    assert sorted(table["x"].to_pylist(), key=str) == [DIGITS, None]
    file.write_text("day,x\n2026-03-01,5e38\n")
    with pytest.raises(SchemaMismatch, match="more than 76 digits"):
        files_to_parquet(
            into.with_name("other.parquet"), SCHEMA, [SourceFile(str(file), "csv")], ANY_COLUMN, exact=False
        )
