"""Every command there is: help with an example, JSON for a machine, and a line instead of a stack trace."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from convergence_assets.cli import commands
from convergence_assets.cli.main import app
from convergence_assets.control.errors import ControlError
from convergence_assets.settings import SettingsError
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.warehouse.errors import WarehouseError
from tests.assets.project import TENANTS

ANSWERED = (SettingsError, UnreadableFolder, ControlError, WarehouseError)
"""What `main` makes one line of; test_commands.py sees it do so."""
WITHOUT_JSON = {
    "schema": "is JSON",
    "up": "runs until it is ended",
    "serve": "runs until it is ended",
    "watch": "runs until it is ended",
    "workspace": "is a YAML file",
}
RUNS_ON = {"up", "serve", "demo"}

DAY = "2026-10-02"
ARGUMENTS = {
    "tenant": "acme", "pipeline": "demo_costs", "partition": DAY, "table": "lines", "sql": "SELECT 1",
    "source": "bills", "files": "nowhere.csv", "run": "0123abcd", "of": "tenant", "key_id": "key_0", "fingerprint": "f0",
}  # fmt: skip
"""What stands for an argument, by its name."""
OPTIONS = {
    "run": ["--partition", DAY],
    "upgrade": ["--plan"],
    "export focus": ["--month", DAY[:7], "--out", "exports"],
    "backfill": ["--from", DAY, "--to", DAY],
    "restore": ["--as-of", "1h", "--yes"],
    "tenants onboard": [
        "--display-name", "A", "--template", "gcp_billing", "--start-date", DAY, "--timezone", "UTC",
        "--with", "export_table=a_export.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C", "--yes",
    ],
    "tenants migrate": ["--plan"],
    "watch": ["--once"],
    "clear-stuck": ["--dry-run"],
}  # fmt: skip
"""What a command needs to come to its work."""
DATED = {
    "run": [["--partition"]],
    "backfill": [["--to", DAY, "--from"], ["--from", DAY, "--to"]],
    "compile": [["--partition"]],
    "costs": [["--from"], ["--to"]],
    "changes": [["--since"]],
    "restore": [["--yes", "--as-of"]],
    "locks release": [["--partition"]],
    "tenants onboard": [["--display-name", "A", "--template", "gcp_billing", "--start-date"]],
}
"""Where a command takes a day or a moment: the words before it."""


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(path), command
        return
    for name, found in below.items():
        yield from leaves(found, (*path, name))


COMMAND: Any = typer.main.get_command(app)
LOADED = {name: entry.loaded(name) for name, entry in commands.COMMANDS.items()}
COMMANDS = dict(leaf for name, command in LOADED.items() for leaf in leaves(command, (name,)))
WORKING = sorted(COMMANDS.keys() - RUNS_ON)


def arguments(name: str, **instead: str) -> list[str]:
    """The command's words with every argument given."""
    named = [p.name for p in COMMANDS[name].params if p.param_type_name == "argument"]
    return [*name.split(), *((ARGUMENTS | instead)[argument] for argument in named)]


def options(name: str) -> set[str]:
    return {option for p in COMMANDS[name].params for option in p.opts if option.startswith("--")}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    # Some of the commands change their tenant's file.
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(shutil.copytree(TENANTS, tmp_path / "tenants")))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("GCP_PROJECT_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    # Typer's runner makes all commands anew each time.
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)
    monkeypatch.setattr(COMMAND, "get_command", lambda _, name: LOADED.get(name))


def given(*words: str) -> Result:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, words)
    assert result.exception is None or isinstance(result.exception, (SystemExit, *ANSWERED)), (words, result.exc_info)
    assert "Traceback" not in result.output
    return result


def output_of(result: Result) -> str:
    return result.output + (str(result.exception) if isinstance(result.exception, ANSWERED) else "")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_shows_an_example_that_is_one_of_this_very_command(name: str) -> None:
    shown = " ".join(given(*name.split(), "--help").output.split())
    assert f"Example: convergence {name}" in shown


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_speaks_json_to_a_machine(name: str) -> None:
    assert ("--json" in options(name)) == (name not in WITHOUT_JSON)


@pytest.mark.parametrize(
    "name", [n for n in WORKING if any(p.name in ("tenant", "pipeline_id") for p in COMMANDS[n].params)]
)
def test_a_tenant_that_is_not_there_is_named(name: str) -> None:
    tenant = next(p for p in COMMANDS[name].params if p.name in ("tenant", "pipeline_id"))
    wrong = "A!" if name == "tenants onboard" else "acmee"  # to onboarding a good name is a new tenant
    if tenant.param_type_name == "argument":
        words = [*arguments(name, tenant=wrong), *OPTIONS.get(name, ())]
    else:
        words = [*arguments(name), tenant.opts[0], "acmee/demo_costs" if tenant.name == "pipeline_id" else wrong]
    result = given(*words)
    if name == "keys list":  # a tenant that is gone may have keys
        assert "there are no keys" in output_of(result)
        return
    assert (result.exit_code != 0) == (name != "locks release")
    expected = "a lower-case letter" if name == "tenants onboard" else wrong
    assert expected in output_of(result), output_of(result)


@pytest.mark.parametrize("name", [n for n in WORKING if any(p.name == "pipeline" for p in COMMANDS[n].params)])
def test_a_pipeline_that_is_not_there_is_named_with_the_nearest(name: str) -> None:
    pipeline = next(p for p in COMMANDS[name].params if p.name == "pipeline")
    if pipeline.param_type_name == "argument":
        words = [*arguments(name, pipeline="demo_cost"), *OPTIONS.get(name, ())]
    else:
        words = [*arguments(name), "--pipeline", "demo_cost"]
    result = given(*words)
    if name == "locks release":
        assert "pipeline demo_cost" in output_of(result)
        return
    assert (result.exit_code, "did you mean 'demo_costs'" in output_of(result)) == (2, True), output_of(result)


NO_DAYS = [
    (name, before, typed)
    for name in DATED
    for before in DATED[name]
    for typed in ("2026-02-30", "yesterday", "")
    if typed or (name, before[-1]) not in {("costs", "--to"), ("tenants onboard", "--start-date")}  # then it is none
]


@pytest.mark.parametrize(("name", "before", "typed"), NO_DAYS)
def test_a_day_that_is_none_is_answered_with_what_is_expected(name: str, before: list[str], typed: str) -> None:
    result = given(*arguments(name), *before, typed)
    assert result.exit_code != 0
    assert "expected" in output_of(result) or "Expected" in output_of(result), output_of(result)


@pytest.mark.parametrize(
    "words",
    [
        ["logs", "0123abcd"], ["diagnose", "0123abcd"], ["clear-stuck", "--run-id", "0123abcd"],
        ["jobs", "--cancel", "0123abcd"], ["logs", ""],
    ],
)  # fmt: skip
def test_a_run_that_is_not_there_is_named(words: list[str]) -> None:
    result = given(*words)
    assert result.exit_code != 0
    assert words[-1] in output_of(result)


@pytest.mark.parametrize("name", WORKING)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONVERGENCE_HOME", "/dev/null/home"),
        ("DAGSTER_HOME", "/nowhere/dagster"),
        ("CONVERGENCE_TENANTS", "/nowhere/tenants"),
        ("CONVERGENCE_WAREHOUSE", "postgres"),
        ("CONVERGENCE_CONTROL_URL", "mysql://db"),
    ],
)
def test_an_environment_that_is_wrong_is_a_line_and_no_stack_trace(
    name: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    result = given(*arguments(name), *OPTIONS.get(name, ()))
    if isinstance(result.exception, SettingsError | UnreadableFolder):
        named = {"CONVERGENCE_CONTROL_URL": "mysql"}.get(variable, value)
        assert named in str(result.exception), result.exception


def test_an_argument_too_many_or_an_option_that_is_none_is_answered_in_a_line() -> None:
    for words in (["status", "acme", "more"], ["costs", "--nonsense"], ["nonsense"], ["tenants", "nonsense"]):
        assert given(*words).exit_code == 2


def test_what_is_said_in_json_is_json_and_nothing_else() -> None:
    for words in (
        ["status"], ["schedule"], ["tenants", "list"], ["doctor"], ["costs"], ["changes"], ["jobs"], ["locks", "list"],
        ["compile", "acme", "demo_costs"], ["pause", "acme", "demo_costs"], ["resume", "acme", "demo_costs"],
        ["ledger", "status"], ["ledger", "rebuild"], ["alerts", "list"], ["keys", "list"], ["validate"],
        ["locks", "release", "acme", "demo_costs"], ["tenants", "migrate", "acme", "--plan"],
    ):  # fmt: skip
        for line in given(*words, "--json").stdout.splitlines():
            json.loads(line)
