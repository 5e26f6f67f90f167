"""What the documents name exists: paths, make targets, commands, variables."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from convergence_assets.cli.main import app
from convergence_assets.pipelines.checking import check
from convergence_assets.pipelines.models import PipelineSpec, SuiteSpec
from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.tenancy.models import TenantSpec
from convergence_assets.warehouse.errors import ERROR_CLASSES

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {d: d.read_text() for d in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT[document]):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_make_target_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", TEXT[document], re.MULTILINE))
    assert {a or b for a, b in named} <= targets


def known_commands() -> set[str]:
    """Every command as it is typed, with its group's name before it."""
    own = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    return own | {
        f"{group.typer_instance.info.name} {c.name or c.callback.__name__}"
        for group in app.registered_groups
        if group.typer_instance
        for c in group.typer_instance.registered_commands
        if c.callback
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


def test_no_document_names_a_command_that_does_not_exist() -> None:
    known = known_commands() | {name.partition(" ")[0] for name in known_commands()}
    for document, text in TEXT.items():
        for name in re.findall(r"(?:`|bin/)convergence ([a-z-]+)", text):
            assert name in known, (document.name, name)


def test_every_variable_in_the_readme_is_read_somewhere() -> None:
    code = "".join(f.read_text() for f in (ROOT / "convergence_assets").rglob("*.py"))
    for variable in re.findall(r"^\| `([A-Z_]+)` \|", TEXT[ROOT / "README.md"], re.MULTILINE):
        assert f'"{variable}"' in code, variable


def test_the_files_shown_in_the_documents_are_accepted() -> None:
    shown = 0
    for document, text in TEXT.items():
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
            data = yaml.safe_load(block)
            model = TenantSpec if "tenant_id" in data else PipelineSpec if "steps" in data else SuiteSpec
            if "pipelines" in data and "tenant_id" not in data:
                continue
            value, problems = check(read_yaml(document.name, block.encode()), model)
            assert value is not None, [p.render() for p in problems]
            shown += 1
    assert shown == 3


def test_every_class_of_failure_has_its_section_in_the_troubleshooting_guide() -> None:
    sections = set(re.findall(r"^## (.+)$", TEXT[ROOT / "docs" / "TROUBLESHOOTING.md"], re.MULTILINE))
    assert sections == {kind("").anchor for kind in ERROR_CLASSES.values()}
