"""`dagster.yaml` names its classes at paths that stay; those of former releases lead to the same classes."""

import importlib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from convergence_assets import dagster_instance

ROOT = Path(__file__).parents[1]
FORMER = ROOT / "tests" / "former_release"
FILES = [ROOT / "dagster.yaml", ROOT / "deploy" / "dagster.postgres.yaml", *sorted(FORMER.glob("*.yaml"))]


def named(config: Any) -> list[tuple[str, str]]:
    """Every class of this project in a part of the file: module and name."""
    if not isinstance(config, dict):
        return []
    own = (
        [(config["module"], config["class"])] if str(config.get("module", "")).startswith("convergence_assets") else []
    )
    return own + [one for value in config.values() for one in named(value)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_class_is_the_one_that_has_the_path_that_stays(file: Path) -> None:
    classes = named(yaml.safe_load(file.read_text()))
    assert len(classes) >= 2
    for module, name in classes:
        assert getattr(importlib.import_module(module), name) is getattr(dagster_instance, name)


@pytest.mark.parametrize("file", [ROOT / "dagster.yaml", FORMER / "dagster.yaml"], ids=["today", "former release"])
def test_an_instance_is_made_and_handed_on_with_either_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(file.read_text())
    with (
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
        dg.DagsterInstance.from_ref(instance.get_ref()) as again,
    ):
        for one in (instance, again):
            assert type(one) is dagster_instance.Instance
            assert type(one.run_launcher) is dagster_instance.WarmRunLauncher


def test_another_name_is_no_class_of_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Launcher'"):
        _ = dagster_instance.Launcher
