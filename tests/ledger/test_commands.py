"""`convergence logs` and `convergence ledger` as a person types them."""

import json
import sys
from pathlib import Path

import pytest

from tests import commands
from tests.assets.dagster_server import environment
from tests.assets.project import Project, hourly
from tests.ledger.test_follow import BERLIN, DAY

BIN = Path(sys.executable).parent


class Shell:
    def __init__(self, project: Project) -> None:
        # The command's own Dagster, made by its first use.
        self.environ = {k: v for k, v in environment(project).items() if k != "DAGSTER_HOME"}

    def __call__(self, *words: str) -> tuple[int, str, str]:
        done = commands.convergence(*words, environ=self.environ)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def convergence(project: Project) -> Shell:
    return Shell(project)


@pytest.mark.slow
def test_a_runs_log_is_read_without_its_warehouse_by_the_beginning_of_its_id(
    project: Project, convergence: Shell
) -> None:
    project.load_bills(hourly(DAY, BERLIN, 9000.0))
    code, output, _ = convergence("run", "acme", "demo_costs", "--partition", str(DAY), "--json")
    assert code == 1
    run_id = json.loads(output)["run_id"]
    project.settings.warehouse_folder.rename(project.settings.home / "away")
    code, output, errors = convergence("logs", run_id[:8], "--json")
    assert code == 0, errors
    found = [json.loads(line) for line in output.splitlines()]
    assert [e["error_class"] for e in found if e["event"] == "step_failure"] == ["quality_failed"]
    assert {e["level"] for e in found} == {"info", "warning", "error"}
    (check,) = [e for e in found if "cost_is_possible" in e["message"] and e["event"] == "check"]
    assert (
        check["message"]
        == "cost_is_possible failed (critical): 24 unexpected, on 2026-03-10, e.g. day=2026-03-10, cost=9000 and 23 more"
    )
    code, output, _ = convergence("logs", run_id, "--level", "error")
    assert code == 0
    assert "quality_failed" in output
    assert "step_start" not in output
    assert f"run {run_id}: FAILURE" in output
    code, _, errors = convergence("logs", run_id[:-1] + ("0" if run_id[-1] != "0" else "1"))
    assert code == 2
    assert run_id in " ".join(errors.split())


@pytest.mark.slow
def test_the_ledger_is_rebuilt_and_says_what_waits(project: Project, convergence: Shell) -> None:
    project.load_bills(hourly(DAY, BERLIN, 1.25))
    assert convergence("run", "acme", "demo_costs", "--partition", str(DAY))[0] == 0
    code, output, errors = convergence("ledger", "rebuild")
    assert (code, output.splitlines()[-1]) == (
        0, "1 runs read again; their rows wait for the warehouse: `convergence ledger status`",
    ), errors  # fmt: skip
    code, output, errors = convergence("ledger", "status", "--json")
    assert code == 0, errors
    found = json.loads(output)
    assert found["rows_waiting"] == found["tenants"][0]["rows"] == 1 + 6 + 8
    code, output, _ = convergence("ledger", "status")
    assert code == 0
    assert "acme" in output
