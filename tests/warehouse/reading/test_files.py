"""Headers, keys, encodings, delimiters, compression, structure: what docs/FILES.md says of whole files."""

import gzip
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.errors import UnreadableFile
from convergence_assets.warehouse.interface import FileFormat, FileRules, Job, SourceFile
from convergence_assets.warehouse.schema import Column, Query, TableRef, TableSchema
from tests.warehouse.reading.conftest import Read

A, B = Column("a", "STRING"), Column("b", "INT64")
MEMBERS = (
    Column("v", "NUMERIC"),
    Column("k", "STRING", "REQUIRED"),
    Column("at", "TIMESTAMP"),
    Column("l", "INT64", "REPEATED"),
)
NESTED = Column("r", "RECORD", "REPEATED", "", MEMBERS)

REFUSED: dict[str, tuple[FileFormat, bytes, str]] = {
    "no bytes": ("csv", b"", "x.csv: has no bytes; expected a header"),
    "a renamed column": ("csv", b"a,bb\nx,1\n", "x.csv:1 b: missing; is it bb"),
    "a column under quite another name": ("csv", b"a,price\nx,1\n", "x.csv:1 b: missing; the file has price instead, not declared"),
    "a column not declared": ("csv", b"a,b,c\nx,1,2\n", "x.csv:1: c is not declared"),
    "a column twice": ("csv", b"a,A,b\nx,y,1\n", "are one"),
    "another delimiter": ("csv", b"a;b\nx;1\n", "the delimiter is a comma, is it a semicolon"),
    "too few fields": ("csv", b'a,b\n"x\ny",1\nz\n', r"x.csv:4: 1 field; expected 2"),
    "too many fields": ("csv", b"a,b\nx,1,2\n", r"x.csv:2: 3 fields; expected 2"),
    "a quote not closed": ("csv", b'a,b\nx,1\n"y,2\n', r"x.csv:3: a quoted field does not end"),
    "Latin-1": ("csv", b"a,b\nx,1\n\xe9,2\n", r"x.csv:3: is not UTF-8"),
    "Latin-1 header": ("csv", b"\xe9,b\nx,1\n", r"x.csv:1: is not UTF-8"),
    "UTF-16": ("csv", "a,b\nx,1\n".encode("utf-16"), "is UTF-16; expected UTF-8"),
    "UTF-16 unmarked": ("csv", "a,b\nx,1\n".encode("utf-16-le"), "x.csv:1: holds a zero byte"),
    "two kinds of line ends": ("csv", b"a,b\r\nx,1\ny,2\r\n", "line ends of two kinds"),
    "cut short": ("csv", gzip.compress(b"a,b\nx,1\n" * 999)[:-9], "cut short"),
    "wrong values": ("csv", b'a,b\n"x\ny",1\n\nz,3.7\n,1_0\nq,x\nr,y\n', "x.csv:5 b: 3.7; .*\nx.csv:6 b: 1_0; .*\nx.csv:7 b: x; .*\nand 1 more value$"),
    "a renamed key": ("jsonl", b'{"a":"x","bb":1}\n', "x.jsonl b: missing; is it bb"),
    "a key not declared, late": ("jsonl", b'{"a":"x","b":1}\n{"a":"y","b":1,"c":0}\n', "c is not declared"),
    "a key twice": ("jsonl", b'{"a":"x","b":1}\n{"a":"x","a":"y","b":1}\n', "x.jsonl:2 a: the key stands twice"),
    "two cases of a key": ("jsonl", b'{"a":"x","b":1}\n{"A":"x","b":1}\n', "are one"),
    "no JSON": ("jsonl", b'{"a":"x","b":1}\n\n{"a":\n', "x.jsonl:3: is not JSON"),
    "no object": ("jsonl", b'{"a":"x","b":1}\n[1]\n', "x.jsonl:2: is no JSON object"),
    "a broken character": ("jsonl", b'{"a":"\xe9","b":1}\n', "x.jsonl:1: is not UTF-8"),
    "a wrong number": ("jsonl", b'{"a":"x","b":1}\n\n{"a":"y","b":2.5}\n', "x.jsonl:3 b: 2.5; expected a whole number"),
    "no Parquet": ("parquet", b"a,b\n", "is not Parquet"),
    "empty Parquet": ("parquet", b"", "has no bytes"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_as_the_document_says_is_refused(read: Read, what: str) -> None:
    file_format, content, message = REFUSED[what]
    with pytest.raises(UnreadableFile, match=message) as raised:
        read([A, B], content, file_format)
    assert "Error:" not in str(raised.value)


READ: dict[str, tuple[FileFormat, bytes, str | None]] = {
    "order and case": ("csv", b"B, A\n1,x\n", None),
    "a mark and carriage returns": ("csv", b"\xef\xbb\xbfa,b\r\nx,1\r\n", None),
    "blank lines": ("csv", b"a,b\n\nx,1\n\n", None),
    "gzip": ("csv", gzip.compress(b"a,b\n") + gzip.compress(b"x,1\n"), "x.csv.gz"),
    "zstd": ("csv", pa.Codec("zstd").compress(b"a,b\nx,1\n", asbytes=True), "x.csv.zst"),
    "tabs": ("csv", b"a\tb\nx\t1\n", "x.tsv"),
    "a name that is a pattern": ("csv", b"a,b\nx,1\n", "x[1]*.csv"),
    "a folder with a value": ("csv", b"a,b\nx,1\n", "dt=2026-01-01/b=9/x.csv"),
    "keys in another case": ("jsonl", b'{"A":"x","B":1}\n', None),
    "gzip of JSON": ("jsonl", gzip.compress(b'{"a":"x","b":"1"}\n'), "x.jsonl.gz"),
    "a key missing in some rows": ("jsonl", b'\xef\xbb\xbf{"b":1.0,"a":"x"}\r\n', None),
}


@pytest.mark.parametrize("what", READ)
def test_a_file_is_read_as_the_document_says(read: Read, what: str) -> None:
    file_format, content, name = READ[what]
    rows, staged = read([A, B], content, file_format, name=name)
    assert rows == [{"a": "x", "b": 1}]
    assert staged.notes == ()


def test_a_delimiter_is_named(read: Read) -> None:
    assert read([A, B], "a;b\nx,y;1\n", delimiter=";")[0] == [{"a": "x,y", "b": 1}]


@pytest.mark.parametrize(("file_format", "content"), [("csv", b"a,b\n"), ("jsonl", b""), ("jsonl", b"\n \n")])
def test_a_file_may_hold_no_rows(read: Read, file_format: FileFormat, content: bytes) -> None:
    assert read([A, B], content, file_format)[0] == []


def test_an_empty_field_is_null_and_quotes_make_it_an_empty_text(read: Read) -> None:
    assert read([A, B], 'a,b\n,1\n"",""\n')[0] == [{"a": None, "b": 1}, {"a": "", "b": None}]


def test_a_folder_never_changes_what_parquet_holds(read: Read, tmp_path: Path) -> None:
    file = tmp_path / "a=folder" / "x.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"a": ["own"], "b": [1]}), file)
    assert read([A, B], None, "parquet", name="a=folder/x.parquet")[0] == [{"a": "own", "b": 1}]


def test_numbers_beyond_the_columns_decimals_are_rounded_and_counted_where_it_says_so(read: Read) -> None:
    number = Column("n", "NUMERIC")
    content = '{"n":1.0000000005}\n{"n":"1.0000000015"}\n{"n":2}\n'
    with pytest.raises(UnreadableFile, match=r"x.jsonl:1 n: 1.0000000005; .*BIGNUMERIC or say `round: half_even`"):
        read([number], content, "jsonl")
    rows, staged = read([number], content, "jsonl", FileRules(rounded=frozenset({"n"})))
    assert [row["n"] for row in rows] == [Decimal(1), Decimal("1.000000002"), Decimal(2)]
    assert staged.notes == ("rounded half to even in n: 2 values, e.g. 1.0000000005; 1.0000000015",)


def test_a_sensitive_value_is_not_shown(read: Read) -> None:
    with pytest.raises(UnreadableFile, match=r"x.csv:2 b: \(a sensitive value\); expected") as raised:
        read([A, B], "a,b\nx,secret\n", rules=FileRules(sensitive=frozenset({"b"})))
    assert "secret" not in str(raised.value)


def test_an_optional_column_may_be_missing(read: Read) -> None:
    rules = FileRules(optional=frozenset({"b", "r"}))
    assert read([A, B, NESTED], '{"a":"x"}\n', "jsonl", rules)[0] == [{"a": "x", "b": None, "r": []}]


def test_a_map_and_a_struct_become_json_in_a_text(read: Read, tmp_path: Path) -> None:
    columns = [Column("m", "STRING"), Column("s", "STRING")]
    kind = pa.map_(pa.string(), pa.decimal128(18, 9))
    table = pa.table(
        {"m": pa.array([[("k", Decimal("123456789.123456789"))]], kind), "s": [{"x": 0.1, "l": [1, None]}]}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    rows, _ = read(columns, None, "parquet")
    assert rows == [{"m": '{"k":123456789.123456789}', "s": '{"x":0.1,"l":[1,null]}'}]
    assert read(columns, '{"m":{"k":1.50},"s":[1e2,"7"]}\n', "jsonl")[0] == [{"m": '{"k":1.50}', "s": '[1e2,"7"]'}]


def jsonl(rows: str) -> bytes:
    return "".join(f'{{"r":{row}}}\n' for row in rows.split("|")).encode()


def test_what_is_nested_is_read_as_strictly(read: Read) -> None:
    content = jsonl('[{"v":0.123456789,"k":"x","at":"2026-10-12T00:00Z","l":[1,2.0]},{"k":"y"}]|null')
    (first, second), _ = read([NESTED], content, "jsonl")
    assert [m["v"] for m in first["r"]] == [Decimal("0.123456789"), None]
    assert first["r"][0]["l"] == [1, 2]
    assert second["r"] == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('[]|[{"k":"x","v":1.5,"at":null,"l":[1,2.5]}]', r"x.jsonl:2 r.l: 2.5; expected a whole number"),
        ('[{"k":null}]', r"x.jsonl:1 r.k: no value; expected a text \(STRING, REQUIRED\)"),
        ('[{"k":"x","v":"1_0"}]', r"x.jsonl:1 r.v: 1_0; expected a decimal"),
        ("[null]", r"x.jsonl:1 r: no value; expected an object"),
        ('[{"k":"x","l":[null]}]', r"x.jsonl:1 r.l: no value; expected a whole number"),
        ("5", r"x.jsonl:1 one of r: .*; expected an array"),
        ('[{"k":"x","V":1}]', r"x.jsonl r: v, at, l missing, and V is not declared \(renamed\?\)"),
        ('[{"k":"x","v":1,"at":null,"l":[],"z":1}]', r"x.jsonl: r.z is not declared"),
    ],
)
def test_what_is_wrong_inside_is_named(read: Read, rows: str, message: str) -> None:
    with pytest.raises(UnreadableFile, match=message):
        read([NESTED], jsonl(rows), "jsonl")


def test_parquet_is_judged_inside_too(read: Read, tmp_path: Path) -> None:
    member = pa.struct([("v", pa.float64()), ("k", pa.string()), ("at", pa.string()), ("l", pa.list_(pa.float64()))])
    good = {"v": 0.1, "k": "x", "at": "2026-10-12T00:00Z", "l": [1.0]}

    def write(*rows: object) -> None:
        pq.write_table(pa.table({"r": pa.array(rows, pa.list_(member))}), tmp_path / "x.parquet")

    write([good], None)
    first, second = read([NESTED], None, "parquet")[0]
    assert first["r"][0]["v"] == Decimal("0.1")
    assert second["r"] == []
    write([good], [good | {"v": 1 / 3}])
    with pytest.raises(UnreadableFile, match=r"x.parquet:2 r.v: 0.3333333333333333; expected"):
        read([NESTED], None, "parquet")


def test_a_source_ignores_what_is_not_declared_and_says_so_and_drops_no_row(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    schema = TableSchema(
        (replace(A, name="at", type="TIMESTAMP"), B, Column("day", "TIMESTAMP")), "day", ingestion_time_from="at"
    )
    table, files = TableRef("exports", "bills"), [tmp_path / "one.csv", tmp_path / "two.jsonl"]
    files[0].write_text("at,b,more\n2026-10-12T00:00Z,1,x\n")
    files[1].write_text('{"at":"2026-10-12T01:00Z","b":2}\n')
    formats: tuple[FileFormat, ...] = ("csv", "jsonl")
    sources = [SourceFile(str(f), kind) for f, kind in zip(files, formats, strict=True)]
    loaded = warehouse.load_files(table, schema, sources, Job("load"))
    assert (loaded.rows, loaded.notes) == (2, ("ignored, since it is not declared: more",))
    files[1].write_text('{"at":"2026-10-12T01:00Z","b":3}\n{"at":null,"b":4}\n')
    with pytest.raises(UnreadableFile, match=r"two.jsonl:2 at: no value; expected"):
        warehouse.load_files(table, schema, sources, Job("load"))
    assert [r["b"] for r in warehouse.rows(Query("SELECT b FROM exports.bills ORDER BY b"), Job("read"))] == [1, 2]
