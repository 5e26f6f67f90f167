"""What became of a statement is worked out once and read from a file afterwards."""

import json
import os
from pathlib import Path

import pytest

from convergence_assets import kept_results
from convergence_assets.warehouse.duckdb import outcomes
from convergence_assets.warehouse.duckdb.outcomes import Outcome, outcome
from convergence_assets.warehouse.googlesql import client, module
from convergence_assets.warehouse.schema import Column

BILLS = {"bills": (Column("day", "DATE"), Column("cost", "NUMERIC"), Column("tags", "STRING", "REPEATED"))}
SQL = "SELECT day, SUM(cost) AS cost FROM bills WHERE day = @day GROUP BY day"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache but for the analyzer's compiled file, and no memory of other tests."""
    compiled = kept_results.folders()
    monkeypatch.setattr(kept_results, "folders", lambda: (tmp_path,))
    monkeypatch.setattr(module, "folders", lambda: compiled)
    monkeypatch.setattr(outcomes, "_in_memory", {})
    return tmp_path


def again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another process that cannot start the analyzer."""

    def started(*_: object) -> None:
        raise AssertionError("the analyzer was started")

    monkeypatch.setattr(outcomes, "_in_memory", {})
    monkeypatch.setattr(client, "call", started)
    monkeypatch.setattr(outcomes, "_analyze_statement", started)


def worked_out(sql: str = SQL) -> Outcome:
    return outcome(sql, BILLS, {"day": "DATE"})


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("sql-*/*.json"))


@pytest.mark.parametrize(
    "sql", [SQL, "SELECT dya FROM bills", "SELECT RAND() AS x FROM bills", "SELECT tags FROM bills"]
)
def test_an_outcome_is_read_as_it_was_worked_out_without_the_analyzer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    before = worked_out(sql)
    again(monkeypatch)
    assert worked_out(sql) == before


def test_a_text_an_own_column_or_a_parameters_type_makes_another_outcome(folder: Path) -> None:
    worked_out()
    outcome(SQL, {"bills": (Column("day", "DATE"), Column("cost", "FLOAT64"))}, {"day": "DATE"})
    outcome(SQL, BILLS, {"day": "STRING"})
    outcome(SQL + " ", BILLS, {"day": "DATE"})
    assert len(kept(folder)) == 4


def test_a_description_makes_no_other_outcome(folder: Path) -> None:
    worked_out()
    described = (Column("day", "DATE", "REQUIRED", "the day"), *BILLS["bills"][1:])
    outcome(SQL, {"bills": described}, {"day": "DATE"})
    assert len(kept(folder)) == 1


def test_the_oldest_of_too_many_files_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out()
    (oldest,) = kept(folder)
    os.utime(oldest, (1, 1))
    for number in range(4):
        worked_out(f"SELECT {number} AS n")
    monkeypatch.setattr(kept_results, "MOST_FILES", 3)
    monkeypatch.setattr(kept_results, "_COUNTED", "")  # every key begins with it
    worked_out("SELECT 4 AS n")
    assert len(kept(folder)) == 3
    assert oldest not in kept(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"refusals": []}', "\x00"])
def test_a_file_that_is_damaged_is_worked_out_anew(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    before = worked_out()
    (file,) = kept(folder)
    file.write_text(content)
    monkeypatch.setattr(outcomes, "_in_memory", {})
    assert worked_out() == before
    assert json.loads(file.read_text())["text"] == before.text


def test_a_file_that_others_may_write_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = worked_out()
    (file,) = kept(folder)
    payload = json.loads(file.read_text())
    file.write_text(json.dumps(payload | {"text": "SELECT 1"}))
    file.chmod(0o666)
    monkeypatch.setattr(outcomes, "_in_memory", {})
    assert worked_out() == before


def test_where_nothing_can_be_written_it_is_worked_out_in_each_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_results, "folders", lambda: (Path("/proc/nowhere"), Path("/dev/null/nowhere")))
    assert worked_out().text
    monkeypatch.setattr(outcomes, "_in_memory", {})
    assert worked_out().text


def test_what_is_refused_says_where_and_what_bigquery_says(folder: Path) -> None:
    (problem,) = worked_out("SELECT day,\n  SUMM(cost) AS c FROM bills GROUP BY day").refusals
    assert (problem.line, problem.column, problem.message) == (2, 3, "Function not found: SUMM; Did you mean sum?")


def test_what_the_engine_has_no_form_for_says_where(folder: Path) -> None:
    (problem,) = worked_out("SELECT day,\n  RAND() AS c FROM bills").unsupported
    assert (problem.line, problem.column) == (2, 3)
    assert "RAND" in problem.message


def test_the_types_of_the_result_are_bigquerys(folder: Path) -> None:
    found = worked_out("SELECT cost * 2 AS twice, cost * 1.5 AS more, 7 / 2 AS half, tags, [1] AS n FROM bills")
    assert [(c.name, c.type, c.mode) for c in found.columns] == [
        ("twice", "NUMERIC", "NULLABLE"), ("more", "NUMERIC", "NULLABLE"), ("half", "FLOAT64", "NULLABLE"),
        ("tags", "STRING", "REPEATED"), ("n", "INT64", "REPEATED"),
    ]  # fmt: skip


def test_without_the_analyzer_what_is_kept_still_runs_and_the_rest_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = worked_out()

    def missing() -> Path:
        raise module.AnalyzerMissing("zetasql not installed")

    monkeypatch.setattr(client, "_instances", [])
    monkeypatch.setattr(module, "wasm_file", missing)
    monkeypatch.setattr(outcomes, "_in_memory", {})
    assert worked_out() == before
    with pytest.raises(module.AnalyzerMissing, match="not installed"):
        worked_out("SELECT cost FROM bills")


def test_a_statement_that_takes_for_ever_is_ended_and_the_next_one_is_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CALL_WITHIN_SECONDS", 0.0)
    (problem,) = worked_out("SELECT cost + 1 AS c FROM bills").refusals
    assert "broke down" in problem.message
    monkeypatch.setattr(client, "CALL_WITHIN_SECONDS", 30.0)
    assert worked_out("SELECT cost + 2 AS c FROM bills").text
