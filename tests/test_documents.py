"""What the documents name exists: paths, anchors, make targets, commands with their options, columns, variables."""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import sqlglot
import typer
import yaml
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from typer.exceptions import TyperException
from typer.testing import CliRunner

from convergence_assets import environment_variables
from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Kind
from convergence_assets.alerting.channels import channel_for
from convergence_assets.cli.commands import COMMANDS
from convergence_assets.cli.main import app
from convergence_assets.ledger.tables import TABLES
from convergence_assets.monitoring import run_alerts
from convergence_assets.monitoring.stuck import WITHOUT_ALERT, StuckKind
from convergence_assets.pipelines.models import PipelineSpec, StepTest, SuiteSpec
from convergence_assets.pipelines.validation import check
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.loading import checked_defaults
from convergence_assets.tenancy.tenant_file import Alerts, Defaults, TenantSpec
from convergence_assets.warehouse.errors import ERROR_CLASSES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "SECURITY.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXT = {d: d.read_text() for d in DOCUMENTS}
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
_MADE_BY_THE_READER = "tenants/soylent/"
"""What the tutorial makes; test_tutorial.py follows it."""
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


@cache
def anchors(document: Path) -> list[str]:
    """What GitHub makes of the headings (https://docs.github.com/en/get-started/writing-on-github), in their order."""
    titles = re.findall(r"^#+ (.+?) *$", _FENCED.sub("", document.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_link_leads_to_a_file_and_a_heading_in_it(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT[document]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_path_that_is_named_exists(document: Path) -> None:
    roots = (ROOT, ROOT / "convergence_assets")
    for path in re.findall(r"`((?:[a-z_.]+/)*[\w.-]+\.(?:py|sql|ya?ml|toml|md|j2))`", TEXT[document]):
        folder, _, name = path.rpartition("/")
        found = any((root / path).exists() for root in roots) or (not folder and name in _names())
        assert found or path.startswith(_MADE_BY_THE_READER), path


@cache
def _names() -> set[str]:
    """The names of all files of the project, for those that a document calls by their name alone."""
    folders = ("convergence_assets", "tenants", "deploy", "docs", "tests", "benchmarks")
    return {file.name for folder in folders for file in (ROOT / folder).rglob("*.*")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", TEXT[document], re.MULTILINE))
    assert {a or b for a, b in named} <= targets


def known_commands() -> set[str]:
    """Every command as it is typed, with its group's name before it."""
    loaded = {name: entry.loaded(name) for name, entry in COMMANDS.items()}
    return {
        typed
        for name, command in loaded.items()
        for typed in ([f"{name} {within}" for within in command.commands] if hasattr(command, "commands") else [name])
    }


def commands() -> list[str]:
    found = set()
    for text in TEXT.values():
        found |= {f"{c} --help" for c in re.findall(rf"convergence ({'|'.join(sorted(known_commands()))})\b", text)}
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_every_command_exists_and_shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0
    assert "Example: convergence" in " ".join(result.output.split())


def typed(text: str) -> Iterator[tuple[list[str], bool]]:
    """The arguments of every `convergence` that a document shows, and whether it is a whole one, to be copied."""
    for _, language, block in _FENCED.findall(text):
        for line in block.splitlines() if language == "sh" else ():
            words = shlex.split(line, comments=True)
            if words and words[0] in ("convergence", ".venv/bin/convergence"):
                yield _until_a_pipe(words[1:]), True
    for code in re.findall(r"`((?:\.venv/bin/)?convergence [^`]+)`", _FENCED.sub("", text)):
        yield _until_a_pipe(shlex.split(code)[1:]), False


def _until_a_pipe(words: list[str]) -> list[str]:
    end = next((i for i, word in enumerate(words) if word in ("|", ">", "&&", ";")), len(words))
    return words[:end]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_command_is_one_that_exists_with_its_options(document: Path) -> None:
    for words, whole in typed(TEXT[document]):
        problem = _problem_of(words, whole)
        assert problem is None, f"convergence {shlex.join(words)}: {problem}"


def _problem_of(words: list[str], whole: bool) -> str | None:
    """What the command line would say to it, without doing it; a mention may leave out what is required."""
    command: Any = typer.main.get_command(app)
    left = list(words)
    while subcommands := getattr(command, "commands", None):
        if not left:
            return None if command.name != app.info.name and not whole else "a command is missing"
        if left[0] not in subcommands:
            return f"there is no command {left[0]}"
        name = left.pop(0)
        command = COMMANDS[name].loaded(name) if command.name == app.info.name else subcommands[name]
    try:
        command.make_context(command.name, left)
    except TyperException as error:
        if type(error).__name__ != "MissingParameter" or whole:
            return str(error) or type(error).__name__
    return None


@pytest.mark.parametrize(
    ("words", "whole", "message"),
    [
        (["jobs", "--nonsense"], False, "--nonsense"),
        (["locks", "nonsense"], False, "no command nonsense"),
        (["run", "acme"], True, "pipeline"),
        (["logs", "RUN", "--level", "loud"], False, "loud"),
        (["pause", "a", "b", "c"], False, "c"),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(words: list[str], whole: bool, message: str) -> None:
    assert message in (_problem_of(words, whole) or "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_query_of_the_ledger_names_its_tables_and_columns(document: Path) -> None:
    statements = [words[1] for words, _ in typed(TEXT[document]) if words[0] == "query" and len(words) > 1]
    statements += [block for _, language, block in _FENCED.findall(TEXT[document]) if language == "sql"]
    for statement in "; ".join(s for s in statements if "…" not in s).split(";"):
        if "x_meta_" not in statement:
            continue
        tree = sqlglot.parse_one(statement, read="bigquery")
        table = TABLES[tree.find(exp.Table).name]  # type: ignore[union-attr]
        declared = {column.name for column in table.schema.columns}
        assert {column.name for column in tree.find_all(exp.Column)} <= declared, statement
        # What sqlglot reads and BigQuery does not: a reserved word neither quoted nor after a dot.
        bare = {c.name for c in tree.find_all(exp.Column) if not c.table and not c.this.args["quoted"]}
        assert not bare & BigQuery.Generator.RESERVED_KEYWORDS, statement


def test_the_reference_of_settings_is_what_make_reference_writes() -> None:
    assert TEXT[ROOT / "docs" / "SETTINGS.md"] == environment_variables.markdown()


def test_the_settings_that_are_documented_are_those_that_the_code_reads() -> None:
    files = [f for f in (ROOT / "convergence_assets").rglob("*.py") if f.name != "environment_variables.py"]
    read = set(re.findall(r'"(CONVERGENCE_[A-Z_]+)"', "".join(f.read_text() for f in files)))
    documented = {variable.name for variable in environment_variables.VARIABLES}
    assert {name for name in documented if name.startswith("CONVERGENCE_")} == read
    code = "".join(f.read_text() for f in files)
    assert [name for name in documented if f'"{name}"' not in code] == []


def test_the_files_shown_in_the_documents_are_accepted() -> None:
    shown = 0
    for document, text in TEXT.items():
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
            data = yaml.safe_load(block)
            if data.keys() == {"alerts"}:
                Alerts.model_validate(data["alerts"])
                continue
            if data.keys() == {"tests"}:
                assert [StepTest.model_validate(test) for test in data["tests"]]
                continue
            if data.keys() == {"scrape_configs"}:  # Prometheus's own: tests/monitoring/test_pack.py
                continue
            if data.keys() <= Defaults.model_fields.keys():
                _, wrong = checked_defaults(document.name, (ROOT / "tenants/_defaults.yaml").read_bytes(), data)
                assert not wrong, [p.render() for p in wrong]
                continue
            model = TenantSpec if "tenant_id" in data else PipelineSpec if "steps" in data else SuiteSpec
            if "pipelines" in data and "tenant_id" not in data:
                continue
            value, problems = check(read_yaml(document.name, block.encode()), model)
            assert value is not None, [p.render() for p in problems]
            shown += 1
    assert shown == 9


def test_every_class_of_failure_has_its_section_in_the_troubleshooting_guide() -> None:
    sections = set(re.findall(r"^## (.+)$", TEXT[ROOT / "docs" / "TROUBLESHOOTING.md"], re.MULTILINE))
    assert sections == {kind("").anchor for kind in ERROR_CLASSES.values()}


def _produced() -> dict[str, str]:
    """Every anchor of the runbook that the code can put into an alert, and where it does."""
    found = {
        run_alerts._anchor(name): "monitoring/run_alerts.py" for name in (*ERROR_CLASSES, "a class of no warehouse")
    }
    found |= {
        f"stuck-{kind.replace('_', '-')}": "monitoring/remediation.py"
        for kind in get_args(StuckKind)
        if kind not in WITHOUT_ALERT
    }
    found |= {kind.runbook: "alerting/kinds.py" for kind in kinds.ALL if kind.runbook != "{anchor}"}
    return found


def test_every_alert_is_of_the_table_of_kinds() -> None:
    makers = [
        file.name
        for file in (ROOT / "convergence_assets").rglob("*.py")
        if any(
            isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Alert"
            for call in ast.walk(ast.parse(file.read_text()))
        )
    ]
    assert makers == ["kinds.py"]
    assert {kind.kind for kind in kinds.ALL} == set(get_args(Kind))


def test_every_anchor_that_an_alert_names_is_a_section_of_the_runbook() -> None:
    produced = _produced()
    assert len(produced) >= 30
    missing = {anchor: where for anchor, where in produced.items() if anchor not in anchors(RUNBOOK)}
    assert not missing


def test_every_section_of_the_runbook_is_of_an_alert_and_stands_there_once() -> None:
    sections = anchors(RUNBOOK)[1:]
    assert len(sections) == len(set(sections))
    assert set(sections) - set(_produced()) == {"the-first-five-minutes"}


def test_every_section_of_the_runbook_says_how_it_ends() -> None:
    for section in re.split(r"^## ", TEXT[RUNBOOK], flags=re.MULTILINE)[2:]:
        text = " ".join(section.split())
        assert "**It ends**" in text or "it ends as [every failed run](#run-failed)" in text, section


@pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # Apprise 2.3 imports it
def test_every_address_of_the_alerts_page_is_one_that_a_channel_takes() -> None:
    import apprise

    rows = re.findall(r"^\| [^|`]+ \| (`\w+://.+) \|$", TEXT[ROOT / "docs" / "ALERTS.md"], re.MULTILINE)
    addresses = [a for row in rows for a in re.findall(r"`(\w+://[^`]+)`", row) if "…" not in a]
    assert len(addresses) >= 6
    for address in addresses:
        channel = channel_for(address)
        if type(channel).__name__ == "AppriseUrl":
            assert apprise.Apprise.instantiate(address, suppress_exceptions=True) is not None, address


def test_the_guide_lists_the_functions_that_run() -> None:
    from convergence_assets.warehouse.duckdb.generator.listing import written

    text = (ROOT / "docs" / "SQL.md").read_text()
    assert written(text) == text, "run `make sql-functions`"
