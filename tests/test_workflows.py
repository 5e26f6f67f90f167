"""The GitHub workflows, beyond what `make workflows` checks: a deployment is gated, checked, and undone where it fails."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
DEPLOY: dict[Any, Any] = yaml.safe_load((FOLDER / "deploy.yml").read_text())
INPUTS = DEPLOY[True]["workflow_dispatch"]["inputs"]  # YAML 1.1 reads the key `on` as true
STEPS = DEPLOY["jobs"]["deploy"]["steps"]


def test_a_deployment_waits_for_the_gate_and_for_the_reviewers_of_its_environment() -> None:
    deploy = DEPLOY["jobs"]["deploy"]
    assert deploy["needs"] == "gate"
    assert deploy["environment"] == "${{ inputs.environment }}"
    (gate,) = DEPLOY["jobs"]["gate"]["steps"]
    (needed,) = re.findall(r"for workflow in (.*); do", gate["run"])
    assert all((FOLDER / f"{name}.yml").exists() for name in needed.split())


def test_what_failed_after_it_began_is_undone_and_nothing_else() -> None:
    names = [step.get("name") for step in STEPS]
    assert names[-4:] == ["Save what runs now", "Deploy", "Verify", "Undo"]
    assert STEPS[-1]["if"] == "failure() && (steps.deploy.outcome == 'failure' || steps.verify.outcome == 'failure')"
    assert [step.get("id") for step in STEPS[-3:-1]] == ["deploy", "verify"]


def test_every_platform_has_its_script_and_every_environment_its_files() -> None:
    scripts = {"kubernetes": "deploy/kubernetes/deploy.sh", "cloud-run": "deploy/cloud-run/deploy.sh"}
    assert set(INPUTS["platform"]["options"]) == scripts.keys()
    assert all(os.access(ROOT / script, os.X_OK) for script in scripts.values())
    for environment in INPUTS["environment"]["options"]:
        assert (ROOT / "deploy" / "kubernetes" / "overlays" / environment).is_dir()
        assert (ROOT / "deploy" / "cloud-run" / "environments" / f"{environment}.yaml").is_file()


def test_the_guide_lists_every_variable_and_secret() -> None:
    guide = (ROOT / "docs" / "how-to" / "deploy-from-github.md").read_text()
    for workflow in FOLDER.glob("*.yml"):
        for name in re.findall(r"\b(?:vars|secrets)\.(\w+)", workflow.read_text()):
            assert f"`{name}`" in guide, (workflow.name, name)


def test_no_input_is_put_into_a_script() -> None:
    for workflow in FOLDER.glob("*.yml"):
        for job in yaml.safe_load(workflow.read_text())["jobs"].values():
            assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]
