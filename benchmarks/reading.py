"""Files read strictly, against DuckDB's own typed reading of the same file: CPU of a million rows of twenty columns.

`python -m benchmarks.reading [ROWS]`. Both write into a table of a database file, each in a process of its own.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

from benchmarks.figures import figure
from benchmarks.measuring import peak_bytes
from convergence_assets.warehouse.duckdb import tables
from convergence_assets.warehouse.duckdb.attached_files import attach_to_write
from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.quoting import literal
from convergence_assets.warehouse.duckdb.reading.load import load_file
from convergence_assets.warehouse.duckdb.reading.notes import Notes
from convergence_assets.warehouse.interface import FileFormat, FileRules, SourceFile
from convergence_assets.warehouse.schema import Column, ColumnType, TableSchema

ROWS = 1_000_000
AT_MOST = {"csv": 2.5, "parquet": 2.5, "jsonl": 4.0}
PEAK_MEGABYTES = 1024
KINDS: dict[ColumnType, int] = {
    "STRING": 7,
    "INT64": 4,
    "FLOAT64": 3,
    "NUMERIC": 1,
    "BOOL": 1,
    "DATE": 2,
    "TIMESTAMP": 2,
}
SCHEMA = TableSchema(
    tuple(Column(f"{kind.lower()}{at}", kind) for kind, number in KINDS.items() for at in range(number))
)
_MADE: dict[ColumnType, str] = {
    "STRING": "'//compute.example/projects/shop/instances/vm-' || (i * 31 + {at}) % 5003",
    "INT64": "(i * 7919 + {at}) % 1000003",
    "FLOAT64": "(i + {at}) / 7.0::DOUBLE",
    "NUMERIC": "CAST(i % 1000 / 8 AS DECIMAL(38, 9))",
    "BOOL": "i % 2 = 0",
    "DATE": "DATE '2026-10-01' + CAST((i + {at}) % 30 AS INTEGER)",
    "TIMESTAMP": "strftime(TIMESTAMP '2026-10-12' + INTERVAL 1 SECOND * ((i + {at}) % 86400), '%Y-%m-%dT%H:%M:%SZ')",
}


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="convergence-reading-") as folder:
        _write(Path(folder), rows)
        for kind, at_most in AT_MOST.items():
            own, own_peak = _alone("strict", kind, folder)
            bare, _ = _alone("typed", kind, folder)
            figure(f"{kind}: strict reading of {rows} rows", own, "CPU-s")
            figure(f"{kind}: times DuckDB's typed reading", own / bare, "x", at_most)
            figure(f"{kind}: peak memory", own_peak / 2**20, "MB", PEAK_MEGABYTES)


def _write(folder: Path, rows: int) -> None:
    engine = Engine(folder / "spill")
    names = {kind: [c.name for c in SCHEMA.columns if c.type == kind] for kind in KINDS}
    columns_sql = ", ".join(
        f"{_MADE[k].format(at=at)} AS {n}" for k, all_ in names.items() for at, n in enumerate(all_)
    )
    columns = f"SELECT {columns_sql} FROM range({rows}) AS numbers(i)"
    typed = ", ".join(f"CAST({n} AS TIMESTAMPTZ) AS {n}" for n in names["TIMESTAMP"])
    for kind, options in (("csv", "HEADER"), ("jsonl", "FORMAT json"), ("parquet", "FORMAT parquet")):
        source = f"SELECT * REPLACE ({typed}) FROM ({columns})" if kind == "parquet" else columns
        engine.run(f"COPY ({source}) TO {literal(str(folder / f'rows.{kind}'))} ({options})")
    engine.close()


def _alone(how: str, kind: str, folder: str) -> tuple[float, int]:
    command = [sys.executable, "-m", "benchmarks.reading", how, kind, folder]
    cpu, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(cpu), int(peak)


def _read(how: str, kind: FileFormat, folder: Path) -> None:
    engine = Engine(folder / "spill")
    engine.run(attach_to_write(folder / f"{how}-{kind}.duckdb", "loaded"))
    tables.create(engine, "loaded.rows", SCHEMA)
    file = folder / f"rows.{kind}"
    began = time.process_time()
    if how == "strict":
        load_file(engine, "loaded.rows", SCHEMA, SourceFile(str(file), kind), FileRules(), Notes(), exact=True)
    else:
        engine.run(f"INSERT INTO loaded.rows SELECT * FROM {_typed(kind, file)}")
    print(time.process_time() - began, peak_bytes())


def _typed(kind: FileFormat, file: Path) -> str:
    columns = ", ".join(f"'{c.name}': '{duckdb_type(c)}'" for c in SCHEMA.columns)
    path = literal(str(file))
    if kind == "csv":
        return f"read_csv({path}, header = true, auto_detect = false, columns = {{{columns}}})"
    if kind == "jsonl":
        return f"read_json({path}, format = 'newline_delimited', auto_detect = false, columns = {{{columns}}})"
    return f"read_parquet({path})"


if __name__ == "__main__":
    how, *rest = sys.argv[1:] or [str(ROWS)]
    if rest:
        kinds: dict[str, FileFormat] = {kind: kind for kind in get_args(FileFormat)}
        _read(how, kinds[rest[0]], Path(rest[1]))
    else:
        main(int(how))
