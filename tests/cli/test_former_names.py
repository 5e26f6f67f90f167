"""The scripts that on-call people know still work, with the options that they know."""

import subprocess
import sys
from pathlib import Path

from tests.assets.project import TENANTS, Project
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_home

ROOT = Path(__file__).parents[2]


def script(tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    project = Project.at(tmp_path / "home")
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(TENANTS),
        "DAGSTER_HOME": str(dagster_home(tmp_path / "dagster")),
    }  # fmt: skip
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def test_a_stuck_pipeline_is_cleared_by_its_former_script(tmp_path: Path) -> None:
    done = script(tmp_path, "clear_stuck_pipeline.py", "--pipeline-id=acme/demo_costs", "--run-id=5f0c1a7e")
    assert done.returncode == 2
    assert "5f0c1a7e" in done.stderr, "as the command: there is no such run"
    assert "Traceback" not in done.stderr


def test_a_tenant_is_onboarded_by_its_former_script(tmp_path: Path) -> None:
    done = script(tmp_path, "scripts/onboard_tenant.py", "--tenant-id=acme", "--plan")
    assert "acme" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    missing = script(tmp_path, "scripts/onboard_tenant.py")
    assert missing.returncode == 2
    assert "--tenant-id" in missing.stderr
