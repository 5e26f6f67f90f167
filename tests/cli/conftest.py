"""A copy of the tenants, and `convergence` and its doctor over it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.diagnostics.doctor.examine import Setup
from convergence_assets.settings import Settings
from tests import commands
from tests.clean_environment import clean_environment
from tests.cli.doctor_findings import Doctor, Said
from tests.cli.onboarding import Convergence, Done
from tests.dagster_homes import dagster_home
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tenants(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tenants", tmp_path / "tenants"))


@pytest.fixture
def environ(tmp_path: Path, tenants: Path) -> dict[str, str]:
    places = {"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants), "COLUMNS": "160"}
    return clean_environment() | places


@pytest.fixture
def convergence(environ: dict[str, str]) -> Convergence:
    def run(*words: str, first: Callable[[], None] | None = None, **more: str) -> Done:
        done = commands.convergence(*words, environ=environ | more, first=first)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def variables(tmp_path: Path, tenants: Path) -> dict[str, str]:
    return {
        "CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants), "COLUMNS": "400",
        "ACME__SLACK_URL": "slack://a/b/c", "API_PORT": str(free_port()),
    }  # fmt: skip


@pytest.fixture
def doctor(variables: dict[str, str]) -> Doctor:
    def run(first: Callable[[], None] | None = None, **more: str) -> tuple[int, Said]:
        done = commands.convergence("doctor", "--json", environ=clean_environment() | variables | more, first=first)
        assert "Traceback" not in done.stderr, done.stderr
        findings: Said = {}
        for line in done.stdout.splitlines():
            finding = json.loads(line)
            assert finding["state"] == "ok" or finding["next_step"], finding
            findings.setdefault(finding["check"], []).append(finding)
        return done.returncode, findings

    return run


@pytest.fixture
def setup(variables: dict[str, str], tmp_path: Path) -> Setup:
    home = dagster_home(tmp_path / "dagster")
    return Setup(Settings.from_env(variables), lambda: dg.DagsterInstance.from_config(str(home)), home)
