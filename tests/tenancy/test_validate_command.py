"""`convergence validate` and `convergence schema`, as a person and as a program calls them."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests import commands


@pytest.fixture
def convergence(tenants: Path, tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str, environ: Mapping[str, str] = {}) -> "subprocess.CompletedProcess[str]":
        home = tmp_path / "home"
        given = {**os.environ, "CONVERGENCE_HOME": str(home), "CONVERGENCE_TENANTS": str(tenants), **environ}
        done = commands.convergence(*arguments, environ=given)
        assert "Traceback" not in done.stderr
        assert not home.exists(), "validation writes nothing"
        return done

    return run


Convergence = Callable[..., "subprocess.CompletedProcess[str]"]


def test_right_files_are_said_to_be_fine(convergence: Convergence) -> None:
    done = convergence("validate")
    assert done.returncode == 0
    assert "fine: 3 tenants, 4 pipelines" in done.stdout


def test_every_problem_of_every_file_is_printed_and_the_exit_code_is_1(
    convergence: Convergence, edit: Callable[[str, str, str], int]
) -> None:
    edit("acme/tenant.yaml", "plan: enterprise", 'plan: "[/red]"')
    edit("globex/tenant.yaml", "timezone:", "timezome:")
    done = convergence("validate")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "acme/tenant.yaml:6: plan: unknown plan '[/red]'; expected one of enterprise, standard, starter" in lines[0]
    assert any("did you mean 'timezone'" in line for line in lines)
    assert lines[-1].startswith("3 problems; fine: 1 tenant, 2 pipelines, ")


def test_the_json_has_every_field_of_a_problem_and_the_tenants_that_are_fine(
    convergence: Convergence, edit: Callable[[str, str, str], int]
) -> None:
    line = edit("acme/tenant.yaml", "plan: enterprise", "plan: enterprize")
    done = convergence("validate", "--json")
    assert done.returncode == 1
    printed = json.loads(done.stdout)
    (problem,) = printed["problems"]
    assert set(problem) == {"file", "line", "key", "message", "expected", "suggestion", "grant", "reaches_out"}
    assert (problem["line"], problem["key"], problem["suggestion"]) == (line, "plan", "enterprise")
    assert [t["tenant_id"] for t in printed["tenants"]] == ["globex", "initech"]


def test_one_tenant_can_be_asked_for(convergence: Convergence, edit: Callable[[str, str, str], int]) -> None:
    edit("acme/tenant.yaml", "plan: enterprise", "plan: gold")
    assert convergence("validate", "--tenant", "globex").returncode == 0
    assert convergence("validate", "--tenant", "acme").returncode == 1
    unknown = convergence("validate", "--tenant", "acm")
    assert unknown.returncode == 2
    assert "did you mean 'acme'" in unknown.stderr


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"CONVERGENCE_TENANTS": "nowhere"}, "tenants folder nowhere does not exist"),
        ({"CONVERGENCE_TENANTS": "memory://nowhere"}, "is empty or does not exist"),
        ({"CONVERGENCE_TENANTS": "nosuch://x"}, "tenants folder nosuch://x"),
        ({"CONVERGENCE_WAREHOUSE": "oracle"}, "CONVERGENCE_WAREHOUSE"),
    ],
)
def test_a_wrong_environment_is_one_line_and_exit_code_2(
    convergence: Convergence, environ: Mapping[str, str], message: str
) -> None:
    done = convergence("validate", environ=environ)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_schema_knows_keys_as_files_write_them(convergence: Convergence) -> None:
    tenant = json.loads(convergence("schema", "tenant").stdout)
    assert "with" in tenant["$defs"]["TenantPipelineSpec"]["properties"]
    assert "steps" in json.loads(convergence("schema", "pipeline").stdout)["properties"]
    assert "expectations" in json.loads(convergence("schema", "suite").stdout)["properties"]
