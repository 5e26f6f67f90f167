"""Every type in every format: read exactly, or refused; the examples of docs/FILES.md, and garbage."""

import base64
import csv
import io
import json
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from convergence_assets.warehouse.errors import UnreadableFile
from convergence_assets.warehouse.interface import FileFormat
from convergence_assets.warehouse.schema import Column, ColumnType
from tests.examples import examples
from tests.warehouse.reading.conftest import Read

DOCUMENT = Path(__file__).parents[3] / "docs" / "FILES.md"
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
EXAMPLES = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| [A-Z0-9]+ \|.*$", DOCUMENT.read_text(), re.MULTILINE)
]
PLACES = {"INT64": 0, "NUMERIC": 9, "BIGNUMERIC": 38}
BOUNDS = {"INT64": Decimal(2**63), "NUMERIC": Decimal(10**29), "BIGNUMERIC": Decimal(10**38)}
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


def content(texts: list[str], file_format: FileFormat, *, bare: bool = False) -> bytes:
    """A file whose column `v` holds these texts; in JSON without quotes where `bare`."""
    if file_format == "csv":
        held = io.StringIO()
        csv.writer(held, quoting=csv.QUOTE_ALL).writerows([["n", "v"], *([i, t] for i, t in enumerate(texts))])
        return held.getvalue().encode()
    if file_format == "jsonl":
        values = texts if bare else [json.dumps(text, ensure_ascii=False) for text in texts]
        return "".join(f'{{"n": {i}, "v": {value}}}\n' for i, value in enumerate(values)).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": range(len(texts)), "v": pa.array(texts, pa.string())}), sink)
    return bytes(sink.getvalue())


def values(read: Read, kind: ColumnType, texts: list[str], file_format: FileFormat, *, bare: bool = False) -> list[Any]:
    columns = [Column("n", "INT64"), Column("v", kind)]
    rows, _ = read(columns, content(texts, file_format, bare=bare), file_format)
    return [row["v"] for row in sorted(rows, key=lambda r: r["n"])]


def spelled(kind: str, value: Any) -> str:
    """A value as the document's table spells it."""
    if kind == "BYTES":
        return base64.b64encode(value).decode()
    if kind in PLACES:
        return f"{Decimal(value).normalize():f}"
    if kind == "FLOAT64":
        return repr(value).replace("e+", "e")
    return str(value).lower() if kind == "BOOL" else str(value)


def test_the_document_has_an_example_of_every_type_but_record() -> None:
    assert {kind for kind, *_ in EXAMPLES} == set(get_args(ColumnType)) - {"RECORD"}


# JSON Lines hold JSON itself, not its text.
@pytest.mark.parametrize(("kind", "text", "value", "refused"), EXAMPLES)
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_documents_examples_are_read_and_refused_as_it_says(
    read: Read, kind: ColumnType, text: str, value: str, refused: str, file_format: FileFormat
) -> None:
    bare = kind == "JSON"
    (found,) = values(read, kind, [text], file_format, bare=bare)
    made = found.astimezone(UTC) if kind == "TIMESTAMP" else found
    expected = value.replace('": ', '":') if kind == "JSON" and file_format == "jsonl" else value
    assert spelled(kind, made) == expected
    if refused:
        with pytest.raises(UnreadableFile, match=r"^x\.\w+:\d+.*(expected|UTF-8)"):
            values(read, kind, [text, refused], file_format, bare=bare)


def exact(kind: str, text: str) -> Any:
    """What Python reads where our grammar does; None where it must be refused."""
    if kind in PLACES:
        if not NUMBER.fullmatch(text):
            return None
        number = Decimal(text)
        places = has_places(number, PLACES[kind])
        inside = -BOUNDS[kind] <= number < BOUNDS[kind] or (number == 0)
        return number if places and inside and number != (-BOUNDS[kind] if kind != "INT64" else None) else None
    if kind == "FLOAT64":
        if not NUMBER.fullmatch(text) or float(text) in (float("inf"), float("-inf")):
            return None
        return float(text) if float(text) or not Decimal(text) else None
    if kind == "BOOL":
        return {"true": True, "false": False}.get(text.lower()) if text.isascii() else None
    if kind == "DATE":
        return read_by(r"\d{4}-\d\d-\d\d", text, date.fromisoformat)
    if kind == "DATETIME":
        return read_by(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6}0*)?)?)?", text, moment)
    if kind == "TIME":
        return read_by(r"\d\d:\d\d(:\d\d(\.\d{1,6}0*)?)?", text, lambda t: time.fromisoformat(t[:15]))
    assert kind == "TIMESTAMP"
    zone = r"(Z| ?UTC|[+-]\d\d(:?\d\d)?)?"
    return read_by(rf"\d{{4}}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{{1,6}}0*)?)?{zone})?", text, moment)


def has_places(number: Decimal, places: int) -> bool:
    """Whether a number has at most so many decimals."""
    exponent = number.normalize().as_tuple().exponent if number else 0
    return isinstance(exponent, int) and -exponent <= places


def read_by(pattern: str, text: str, read: Any) -> Any:
    if not re.fullmatch(pattern, text, re.ASCII):
        return None
    try:
        return read(text)
    except (ValueError, OverflowError):
        return None


def moment(text: str) -> datetime:
    clock = re.sub(r"(\.\d{6})0*", r"\1", text.replace("UTC", "Z").replace(" Z", "Z"))
    parsed = datetime.fromisoformat(clock)
    return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed


DIGITS = st.text("0123456789", min_size=1, max_size=32)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "+"]),
    DIGITS,
    st.one_of(st.just(""), st.just("."), DIGITS.map(".{}".format)),
    st.sampled_from(["", "", "e5", "E-7", "e+2", "e-40", "e400"]),
)
DAYS = st.one_of(
    st.dates().map(str),
    st.sampled_from(["0000-01-01", "2026-02-30", "infinity", "2026-01-02 (BC)", "2026/01/02", "12026-01-02", "epoch"]),
)
CLOCKS = st.one_of(
    st.times().map(str), st.sampled_from(["00:00", "24:00", "23:59:60", "1:00", "12:00:00.1234567", "12:00:00.1000000"])
)
ZONES = st.sampled_from(["", "Z", " UTC", "+02:00", "-0530", "+09", "+25:00", " Europe/Paris", "z"])
MOMENTS = st.builds("{}{}{}{}".format, DAYS, st.sampled_from(["T", " ", "t"]), CLOCKS, ZONES)
GARBAGE = st.one_of(
    st.sampled_from(["1_000", "1,5", " 1", "1 ", "NaN", "inf", "0x1f", "true", "FALSE", "t", "yes", "null", "-", "."]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\uffff"), min_size=1, max_size=8),
)
TEXTS = st.one_of(NUMBERS, DAYS, MOMENTS, CLOCKS, GARBAGE)
KINDS: tuple[ColumnType, ...] = (
    "INT64",
    "NUMERIC",
    "BIGNUMERIC",
    "FLOAT64",
    "BOOL",
    "DATE",
    "DATETIME",
    "TIME",
    "TIMESTAMP",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.property
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, file_format=st.sampled_from(FORMATS))
@example(text="-0.5", file_format="csv")
@example(text="9223372036854775807", file_format="parquet")
@example(text="0001-01-01T00:00:00+01:00", file_format="jsonl")
def test_a_value_is_read_exactly_or_refused(
    read: Read, kind: ColumnType, text: str, file_format: FileFormat
) -> None:  # fmt: skip
    expected = exact(kind, text)
    try:
        (found,) = values(read, kind, [text], file_format)
    except UnreadableFile:
        found = None
    if found is None:
        assert expected is None
        return
    if kind == "TIMESTAMP":
        found = found.astimezone(UTC).replace(tzinfo=None)
    assert found == expected


@pytest.mark.property
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\uffff"), min_size=1), max_size=5))
def test_texts_keep_every_character(read: Read, texts: list[str]) -> None:
    for file_format in FORMATS:
        kept = [t.replace("\r", "\n") for t in texts] if file_format == "csv" else texts
        assert values(read, "STRING", kept, file_format) == kept


@pytest.mark.property
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    held=st.recursive(
        st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(
            st.characters(codec="utf-8", exclude_characters="\0\uffff"))),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\uffff")), inner, max_size=3)),
    )
)  # fmt: skip
def test_json_in_json_lines_keeps_its_digits(read: Read, held: Any) -> None:
    (found,) = values(read, "JSON", [json.dumps(held)], "jsonl", bare=True)
    assert json.loads(found, parse_float=str) == json.loads(json.dumps(held), parse_float=str)


@pytest.mark.property
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.floats(allow_nan=False, allow_infinity=False), bare=st.booleans())
def test_a_double_is_its_shortest_text(read: Read, number: float, bare: bool) -> None:
    columns = [Column("v", "NUMERIC")]
    file_format: FileFormat = "jsonl" if bare else "parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"v": [number]}), sink)
    held = json.dumps({"v": number}).encode() if bare else bytes(sink.getvalue())
    try:
        rows, _ = read(columns, held, file_format)
    except UnreadableFile:
        assert exact("NUMERIC", repr(number)) is None
        return
    assert rows == [{"v": exact("NUMERIC", repr(number))}]
