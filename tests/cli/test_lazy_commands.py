"""The list of commands is read without the commands, and says what they say of themselves."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import typer

from convergence_assets.cli.commands import COMMANDS
from convergence_assets.cli.main import app
from convergence_assets.tenancy.registry import load_registry
from tests.control_stores import sqlite_store
from tests.dagster_homes import dagster_home

ROOT = Path(__file__).parents[2]
HEAVY = ("dagster", "sqlalchemy", "sqlglot", "alembic", "duckdb", "pandas", "google", "great_expectations")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_its_own_first_sentences(name: str) -> None:
    command = COMMANDS[name].loaded(name)
    assert command.name == name
    assert " ".join((command.help or "").split("\n\n")[0].split()) == COMMANDS[name].help


def modules_after(*arguments: str) -> set[str]:
    code = (
        "import json, sys\n"
        f"sys.argv = ['convergence', *{list(arguments)!r}]\n"
        "from convergence_assets.cli.main import main\n"
        "try: main()\n"
        "finally: print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 2), done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["stats"], []])
def test_help_a_version_and_a_misspelt_command_import_nothing_heavy(arguments: list[str]) -> None:
    assert not modules_after(*arguments) & set(HEAVY)


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["schedule"],
        ["tenants", "list"],
        ["ledger", "status"],
        ["alerts", "list"],
        ["locks", "list"],
        ["changes"],
    ],
)
def test_a_command_that_reads_answers_without_dagster(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(tmp_path / "dagster")))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(ROOT / "tenants"))
    sqlite_store(tmp_path / "control.db")
    load_registry(str(ROOT / "tenants"), None, today=date(2026, 11, 30))  # the first to read new SQL analyzes it
    assert not modules_after(*words) & {"dagster", "alembic", "pandas", "google", "great_expectations", "duckdb"}


def test_a_misspelt_command_is_named_with_the_nearest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "convergence_assets.cli.main", "statsu"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Did you mean 'status'" in done.stderr


def test_a_group_of_commands_has_no_more_options_than_its_own() -> None:
    group = COMMANDS["keys"].loaded("keys")
    assert [parameter.name for parameter in group.params] == []
    assert isinstance(app, typer.Typer)


def test_the_reference_of_commands_is_what_make_commands_writes(tmp_path: Path) -> None:
    written = tmp_path / "COMMANDS.md"
    command = [sys.executable, "-m", "typer", "convergence_assets.cli.main", "utils", "docs", "--name", "convergence"]
    subprocess.run(
        [*command, "--output", str(written)], check=True, capture_output=True, env=os.environ | {"COLUMNS": "120"}
    )
    assert (ROOT / "docs" / "COMMANDS.md").read_text() == written.read_text()
