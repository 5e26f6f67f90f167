"""A load of some tenants opens their files alone, and builds their assets alone."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import pytest

from convergence_assets.cli.run import Definitions
from convergence_assets.pipelines.problems import Problem
from convergence_assets.settings import Settings
from convergence_assets.tenancy import step_dependencies
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from tests.clean_environment import clean_environment

ROOT = Path(__file__).parents[2]
TODAY = date(2026, 11, 23)
SMALL = ROOT / "tests" / "assets" / "project" / "tenants"

# What a process opened and read below a folder, and which assets it then has.
COUNTING = """
import json, sys
opened = set()
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(sys.argv[1] + "/"):
        opened.add(arguments[0])
sys.addaudithook(watch)
import convergence_assets.definitions as d
found = d.defs().get_repository_def() if callable(d.defs) else d.defs.get_repository_def()
keys = [k.to_user_string() for k in found.asset_graph.get_all_asset_keys()]
print(json.dumps({"opened": sorted(opened), "keys": keys}))
"""


@pytest.fixture
def fifty(tmp_path: Path) -> Path:
    """Fifty tenants with the small project's pipeline, named t00 to t49."""
    tenants = tmp_path / "tenants"
    tenants.mkdir()
    shutil.copy(SMALL / "_defaults.yaml", tenants)
    for number in range(50):
        own = Path(shutil.copytree(SMALL / "acme", tenants / f"t{number:02d}"))
        text = (own / "tenant.yaml").read_text()
        (own / "tenant.yaml").write_text(text.replace("acme", own.name))
    return tenants


@pytest.fixture
def count(fifty: Path, tmp_path: Path) -> Callable[[str | None], dict[str, list[str]]]:
    def counted(only: str | None) -> dict[str, list[str]]:
        own = {"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(fifty)}
        if only:
            own["CONVERGENCE_ONLY_TENANTS"] = only
        done = subprocess.run(
            [sys.executable, "-c", COUNTING, str(fifty)],
            env=clean_environment() | own,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 else {"error": [done.stderr]}

    return counted


def test_definitions_open_the_files_and_build_the_assets_of_the_named_tenants_alone(
    fifty: Path, count: Callable[[str | None], dict[str, list[str]]]
) -> None:
    everything, some = count(None), count("t07, t31")
    of = {name: {key for key in everything["keys"] if key.startswith(f"{name}/")} for name in ("t07", "t31")}
    assert len(everything["opened"]) == 1 + 50 * 6
    assert len(some["opened"]) == 1 + 2 * 6
    assert {Path(f).relative_to(fifty).parts[0] for f in some["opened"]} == {"_defaults.yaml", "t07", "t31"}
    assert {key for key in some["keys"] if not key.startswith("source/")} == of["t07"] | of["t31"]
    assert len(of["t07"]) == 2


def test_a_name_without_a_folder_is_an_error_with_the_nearest_one(
    count: Callable[[str | None], dict[str, list[str]]],
) -> None:
    (message,) = count("t07,tt31")["error"]
    assert "there is no tenant 'tt31'" in message
    assert "did you mean 't31'" in message


@pytest.mark.parametrize("name", ["../tenants/t01", ".", "..", "_defaults.yaml", "t01/pipelines"])
def test_a_name_is_a_folder_of_the_tenants_folder_and_nothing_else(fifty: Path, name: str) -> None:
    with pytest.raises(UnreadableFolder, match="there is no tenant"):
        load_registry(str(fifty), None, today=TODAY, only={name})


def test_a_folder_in_a_bucket_is_read_for_the_named_tenants_alone(fifty: Path) -> None:
    bucket = fsspec.filesystem("memory")
    bucket.put(str(fifty), "/only/tenants", recursive=True)
    decided = LoadContext(owners={".t07_export.bills": "t07"})
    (read,) = load_registry("memory://only/tenants", None, today=TODAY, only={"t07"}, context=decided).tenants
    assert read == "t07"
    with pytest.raises(UnreadableFolder, match="there is no tenant 't99'"):
        load_registry("memory://only/tenants", None, today=TODAY, only={"t99"})


def test_a_load_of_some_tenants_accepts_nothing_and_falls_back_on_what_a_whole_load_kept(
    fifty: Path, tmp_path: Path
) -> None:
    store, config = tmp_path / "accepted", fifty / "t07" / "tenant.yaml"
    assert load_registry(str(fifty), store, today=TODAY, only={"t07"}).rejected["t07"].undecided
    assert not store.exists()
    load_registry(str(fifty), store, today=TODAY)
    config.write_text(config.read_text() + "timezon: UTC\n")
    registry = load_registry(str(fifty), store, today=TODAY, only={"t07"})
    assert set(registry.tenants) == set(registry.rejected) == {"t07"}


def test_the_sql_of_files_that_a_whole_load_accepted_is_not_checked_again(
    fifty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, checked = tmp_path / "accepted", []
    real = step_dependencies.reading_problems

    def counted(*binding: Any, **named: Any) -> Iterator[Problem]:
        checked.append(binding)
        return real(*binding, **named)

    monkeypatch.setattr(step_dependencies, "reading_problems", counted)

    def loaded(**named: Any) -> tuple[TenantRegistry, int]:
        checked.clear()
        found = load_registry(str(fifty), store, today=TODAY, **named)
        return found, len(checked)

    whole, of_all = loaded()
    assert of_all == 50
    some, of_accepted = loaded(only={"t07"})
    assert of_accepted == 0
    assert some.tenants["t07"] == whole.tenants["t07"]

    sql = next((fifty / "t07").rglob("*.sql"))
    sql.write_text(sql.read_text().replace("FROM ", "FROM no_such_"))
    changed, of_changed = loaded(only={"t07"})
    assert of_changed == 2  # the changed files, and the version that is served in their place
    assert set(changed.rejected) == {"t07"}
    assert changed.tenants["t07"] == whole.tenants["t07"]


def test_a_command_of_one_tenant_builds_that_tenants_assets_alone(fifty: Path, tmp_path: Path) -> None:
    environ = {"CONVERGENCE_HOME": str(tmp_path), "CONVERGENCE_TENANTS": str(fifty), "CONVERGENCE_ONLY_TENANTS": "t07"}
    definitions = Definitions(Settings.from_env(environ))
    assert {key.path[0] for key in definitions._job.asset_layer.executable_asset_keys} == {"t07"}
