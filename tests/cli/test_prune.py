"""`convergence prune` shows how much is old, removes it, and keeps what a partition is."""

import json
from pathlib import Path

from tests import commands
from tests.assets.project import TENANTS, Project
from tests.clean_environment import clean_environment
from tests.dagster_homes import dagster_home


def test_a_plan_removes_nothing_and_of_a_new_deployment_nothing_is_old(tmp_path: Path) -> None:
    project = Project.at(tmp_path / "home")
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(project.settings.home), "CONVERGENCE_TENANTS": str(TENANTS),
        "DAGSTER_HOME": str(dagster_home(tmp_path / "dagster")),
    }  # fmt: skip
    plan = commands.convergence("prune", "--plan", environ=environ)
    assert plan.returncode == 0, plan.stderr
    assert "0 runs are older than 90 days" in plan.stdout
    assert "0 runs are older than 365 days" in plan.stdout
    done = commands.convergence("prune", "--json", environ=environ)
    assert done.returncode == 0, done.stderr
    pruned = json.loads(done.stdout)
    assert (pruned["finished"], pruned["events"], pruned["runs"], pruned["failed"]) == (True, 0, 0, {})
    wrong = commands.convergence("prune", environ=environ | {"CONVERGENCE_KEEP_EVENTS_DAYS": "3"})
    assert wrong.returncode == 2
    assert "CONVERGENCE_KEEP_EVENTS_DAYS='3': expected a number of days, at least 7" in wrong.stderr
