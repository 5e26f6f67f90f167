"""Tables on a narrow terminal and in a pipe: nothing is cut, an id can be copied, a pipe has a line a row."""

import io
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Column, Table
from typer.testing import CliRunner

from convergence_assets.cli.main import app
from convergence_assets.cli.tables import print_table, prose
from tests.assets.project import TENANTS

RUN_ID = "6acb1e8b-c8d1-48bf-8b6f-50f4c5627f50"
WORDS = st.text("abcdefgh 0123456789-_", min_size=1, max_size=60).map(str.strip).filter(bool)


def printed(table: Table, width: int | None) -> str:
    """On a terminal of this width; None: in a pipe."""
    out = io.StringIO()
    console = Console(file=out, width=width or 80, force_terminal=width is not None, no_color=True, highlight=False)
    print_table(table, console)
    return out.getvalue().replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")


def table_of(rows: list[list[str]]) -> Table:
    table = Table("tenant", "pipeline", prose("why"), Column("rows", justify="right"), "run")
    for row in rows:
        table.add_row(*row)
    return table


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(WORDS, min_size=5, max_size=5), min_size=1, max_size=4), width=st.sampled_from([40, 80]))
def test_every_value_is_whole_in_a_pipe_and_every_word_on_a_narrow_terminal(rows: list[list[str]], width: int) -> None:
    lines = printed(table_of(rows), None).splitlines()
    assert len(lines) == 1 + len(rows)
    for row, line in zip(rows, lines[1:], strict=True):
        assert all(" ".join(cell.split()) in line for cell in row)
    shown = printed(table_of(rows), width)
    assert "…" not in shown
    assert all(cell in shown for row in rows for number, cell in enumerate(row) if number != 2)


def test_a_wide_terminal_has_a_box_and_a_narrow_one_an_entry_a_row_with_ids_that_can_be_copied() -> None:
    table = table_of([["acme", "gcp_billing", "waits for what it reads, which is not there yet", "7", RUN_ID]])
    assert printed(table, 160).count("│") > 4
    narrow = printed(table, 60).splitlines()
    assert narrow[0] == "acme  gcp_billing"
    assert [line for line in narrow if line.endswith(f"run: {RUN_ID}")]


def test_prose_is_folded_within_the_box_and_lines_of_a_cell_stay_lines() -> None:
    table = Table("check", prose("seen"))
    table.add_row("daemon", "a sentence that is longer than what is left of sixty columns")
    assert max(map(len, printed(table, 60).splitlines())) <= 60
    wide = Table("tenant", "pipeline", "why", "run")
    wide.add_row("acme", "a", "first\nsecond", RUN_ID)
    assert "first; second" in printed(wide, None)
    assert [line.strip() for line in printed(wide, 50).splitlines()][1:3] == ["why: first", "second"]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(shutil.copytree(TENANTS, tmp_path / "tenants")))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    monkeypatch.chdir(tmp_path)


LISTS = [["status"], ["schedule"], ["tenants", "list"], ["doctor"], ["changes"], ["locks", "list"], ["costs"], ["jobs"]]


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_no_command_cuts_what_it_lists(words: list[str], terminal: bool) -> None:
    environ = {"COLUMNS": "80"} | ({"FORCE_COLOR": "1"} if terminal else {})
    result = CliRunner(env=environ).invoke(app, words)
    assert result.exit_code in (0, 1), result.output
    assert "…" not in result.output
    if not terminal:
        assert "│" not in result.output
        assert "\x1b" not in result.output


def test_a_query_in_a_pipe_gives_every_row_and_value_whole_and_nothing_else() -> None:
    sql = f"SELECT n, '{'x' * 200}' AS long, CAST(NULL AS STRING) AS nothing FROM UNNEST([1, 2, 3]) AS n ORDER BY n"
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["query", sql])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"n  {'long':<200}  nothing", *(f"{n}  {'x' * 200}  NULL" for n in (1, 2, 3))
    ]  # fmt: skip
    assert "3 rows" in result.stderr


def test_the_version_is_said_and_help_has_a_short_form() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("convergence ")
    shown = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["-h"]).output
    assert all(group in shown for group in ("Start", "Tenants", "Days", "Look", "Operate"))
    assert CliRunner().invoke(app, ["tenants", "list", "-h"]).exit_code == 0


def test_what_a_range_was_called_before_is_still_taken_and_not_shown() -> None:
    for words in (["--from", "2026-10-01", "--to", "2026-10-02"], ["--since", "2026-10-01", "--until", "2026-10-02"]):
        assert "from 2026-10-01T00:00Z to 2026-10-03T00:00Z" in CliRunner().invoke(app, ["costs", *words]).output
    shown = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["costs", "--help"]).output
    assert "--from" in shown
    assert "--since" not in shown


def test_a_pipeline_that_nothing_uses_and_a_route_without_its_variable_are_warnings(tmp_path: Path) -> None:
    acme = tmp_path / "tenants" / "acme"
    shutil.copytree(acme / "pipelines" / "demo_costs", acme / "pipelines" / "spare")
    written = (acme / "pipelines" / "spare" / "pipeline.yaml").read_text()
    (acme / "pipelines" / "spare" / "pipeline.yaml").write_text(written.replace("demo_costs", "spare"))
    with (acme / "tenant.yaml").open("a") as file:
        file.write('alerts: {routes: [{severities: [critical], to: "${env:ACME__NOWHERE_URL}"}]}\n')
    result = CliRunner().invoke(app, ["validate"])
    assert result.exit_code == 0, result.output
    output_line = " ".join(result.output.split())
    assert "warning: " in output_line
    assert "acme/pipelines/spare: nothing uses this pipeline" in output_line
    assert "`template: spare`" in output_line
    assert "alerts.routes[0].to: environment variable ACME__NOWHERE_URL is not set here" in output_line
    warnings = json.loads(CliRunner().invoke(app, ["validate", "--json", "--tenant", "acme"]).output)["warnings"]
    assert len(warnings) == 2
    set_here = CliRunner(env={"ACME__NOWHERE_URL": "json://x"}).invoke(app, ["validate", "--json"])
    assert len(json.loads(set_here.output)["warnings"]) == 1


def test_nothing_works_under_a_dead_daemon() -> None:
    result = CliRunner().invoke(app, ["status", "--json"])
    platform = json.loads(result.output)["platform"]
    assert (result.exit_code, platform["daemon"].startswith("dead")) == (1, True)
    assert platform["sensors and schedules"] == "not running: they are the daemon's"
