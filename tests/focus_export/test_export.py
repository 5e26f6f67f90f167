"""Exports of FOCUS: columns in their order, times, numbers and nulls as the specification has them, sums that agree."""

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from convergence_assets.focus_export.columns import NotFocus, columns_of, exported_columns, left_out
from convergence_assets.focus_export.writing import Files, FractionOfASecond, digits, sha256_of
from convergence_assets.pipelines.catalog import library
from convergence_assets.pipelines.models import ColumnSpec
from tests.focus_export.exports import exported_rows
from tests.quality.focus_rows import USAGE

MODEL = json.loads((Path(__file__).parent / "focus_1_4_columns.json").read_text())["columns"]
REMOVED_IN_1_4 = {"ProviderName", "PublisherName"}
TYPES = {"Decimal": "NUMERIC", "Date/Time": "TIMESTAMP", "String": "STRING", "JSON": "STRING"}
DAYS = [date(2026, 10, 24), date(2026, 10, 25)]


@pytest.mark.parametrize("version", ["1.3", "1.4"])
def test_columns_types_and_nulls_are_those_of_the_foundations_model(version: str) -> None:
    ours = {name: (c.type, c.allows_nulls, c.is_mandatory) for name, c in columns_of(version).items()}
    theirs = {
        name: (TYPES[c["data_type"]], c["allows_nulls"], c["feature_level"] == "Mandatory")
        for name, c in MODEL.items()
        if float(c["version"]) <= float(version)
    }
    assert {name: c for name, c in ours.items() if name not in REMOVED_IN_1_4} == theirs
    assert (ours.keys() >= REMOVED_IN_1_4) == (version == "1.3")


@pytest.fixture(scope="module")
def shipped() -> tuple[ColumnSpec, ...]:
    template = library()["gcp_billing"].template
    assert template is not None
    return next(step.columns for step in template.spec.steps if step.table == "gcp_focus")


@pytest.mark.parametrize("version", ["1.2", "1.3", "1.4"])
def test_the_shipped_tables_columns_are_of_focuss_types_and_no_column_is_null_that_may_not(
    shipped: tuple[ColumnSpec, ...], version: str
) -> None:
    declared = {column.name: column for column in shipped}
    known = {name: column for name, column in columns_of(version).items() if name in declared}
    assert {n: declared[n].type for n in known} == {n: column.type for n, column in known.items()}
    wrong = {n for n, column in known.items() if declared[n].mode == "REQUIRED" and column.allows_nulls}
    assert wrong == set()
    nullable = {n for n, c in known.items() if not c.allows_nulls and c.is_mandatory and declared[n].mode != "REQUIRED"}
    # Tables that exist take an added column only if it may be null; a rule holds that it is not.
    assert nullable <= {"ServiceProviderName"}


def specs(*names: str) -> tuple[ColumnSpec, ...]:
    return tuple(ColumnSpec(name=name, type="STRING") for name in names)


def mandatory(version: str) -> tuple[ColumnSpec, ...]:
    return tuple(
        ColumnSpec(name=c.name, type=c.type)  # type: ignore[arg-type]
        for c in columns_of(version).values()
        if c.is_mandatory
    )


def test_a_column_that_no_cell_holds_is_refused() -> None:
    lists = ColumnSpec(name="x_Items", type="STRING", mode="REPEATED")
    with pytest.raises(NotFocus, match="x_Items is a list"):
        exported_columns((*mandatory("1.2"), lists), "1.2")


def test_focuss_columns_come_first_and_the_tables_own_begin_with_x() -> None:
    columns = exported_columns((*specs("usage_date", "x_Note"), *reversed(mandatory("1.2")), *specs("Tags")), "1.2")
    names = [column.name for column in columns]
    assert names == [*sorted([c.name for c in mandatory("1.2")] + ["Tags"]), "x_Note", "x_UsageDate"]
    assert columns[-1].source == "usage_date"


def test_a_column_of_another_version_is_left_out_and_a_missing_one_is_refused() -> None:
    declared = (*mandatory("1.2"), *specs("HostProviderName"))
    assert left_out(declared, "1.2") == ("HostProviderName",)
    assert "HostProviderName" not in {column.name for column in exported_columns(declared, "1.2")}
    with pytest.raises(NotFocus, match=r"no column ServiceProviderName, which FOCUS 1\.3 demands"):
        exported_columns(declared, "1.3")
    wrong = tuple(c for c in mandatory("1.2") if c.name != "BilledCost") + specs("BilledCost")
    with pytest.raises(NotFocus, match="BilledCost is STRING, and NUMERIC in FOCUS"):
        exported_columns(wrong, "1.2")


@pytest.mark.parametrize(
    ("value", "written"),
    [("0E-9", "0"), ("-0.000000001", "-0.000000001"), ("1E+3", "1000"), ("12.500000000", "12.5"), ("-0", "0")],
)
def test_a_decimal_is_plain_digits(value: str, written: str) -> None:
    assert digits(Decimal(value)) == written


def write(folder: Path, **columns: tuple[Any, list[Any]]) -> Path:
    """The CSV file of one batch of rows."""
    with Files(folder, "rows") as files:
        files.write(pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()}))
        return files.finish()[0]


def test_a_null_is_an_empty_field_and_a_text_keeps_what_is_in_it(tmp_path: Path) -> None:
    written = write(tmp_path, a=(pa.string(), [None, 'a "b", c\n']), b=(pa.decimal128(38, 9), [None, None]))
    assert written.read_text() == '"a","b"\n,\n"a ""b"", c\n",\n'


def test_a_time_with_a_fraction_of_a_second_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    moment = datetime(2026, 10, 1, 7, 0, 0, 5, tzinfo=UTC)
    with pytest.raises(FractionOfASecond, match="ChargePeriodStart has a fraction of a second"):
        write(tmp_path, ChargePeriodStart=(pa.timestamp("us", "UTC"), [moment]))
    assert list(tmp_path.iterdir()) == []


def test_an_export_holds_the_published_rows_in_both_forms_and_its_manifest_their_sums(tmp_path: Path) -> None:
    row = USAGE | {"x_LineItemId": "1", "x_Credits": Decimal(-2), "BillingAccountName": None}
    path = exported_rows(tmp_path, "acme", {DAYS[0]: [row, row | {"BilledCost": Decimal("0.1")}], DAYS[1]: [row]})
    manifest = json.loads(path.read_text())
    with path.with_name("acme-gcp_focus-2026-10-focus-1.2.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(path.with_name("acme-gcp_focus-2026-10-focus-1.2.parquet"))
    assert len(rows) == table.num_rows == manifest["rows"] == sum(manifest["rows_by_day"].values())
    assert list(rows[0]) == table.column_names == [column["name"] for column in manifest["columns"]]
    assert table.column_names[-1] == "x_UsageDate"
    for name in ("BilledCost", "EffectiveCost"):
        total = sum(Decimal(group[name]) for group in manifest["sums"])
        assert total == sum(Decimal(row[name]) for row in rows) == sum(table.column(name).to_pylist())
    assert {len(row["ChargePeriodStart"]) for row in rows} == {len("2026-10-01T07:00:00Z")}
    assert {row["ChargePeriodStart"][-1] for row in rows} == {"Z"}
    assert table.schema.field("ChargePeriodStart").type == pa.timestamp("us", "UTC")
    assert {row["BillingAccountName"] for row in rows} == {""}
    assert manifest["days_not_published"] == [f"2026-10-{n:02}" for n in range(1, 32) if n not in (24, 25)]
    for named in manifest["files"]:
        assert named["sha256"] == sha256_of(path.with_name(named["name"]))
    assert sorted(p.name for p in path.parent.iterdir()) == sorted([path.name, *(f["name"] for f in manifest["files"])])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acme", "--month", "2026-13"], "expected a month like 2026-10"),
        (["acme", "--month", "2026-10", "--version", "1.4"], "expected 1.2 or 1.3"),
        (["acmee", "--month", "2026-10"], "did you mean 'acme'"),
        (["acme", "--month", "2026-09"], "no day is published; `convergence schedule acme` says why"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    from typer.testing import CliRunner

    from convergence_assets.cli.export import export

    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(Path(__file__).parents[2] / "tenants"))
    monkeypatch.setenv("COLUMNS", "300")
    ran = CliRunner().invoke(export, ["focus", *arguments, "--out", str(tmp_path / "out")])
    assert ran.exit_code == 2
    assert said in " ".join(ran.output.split())
