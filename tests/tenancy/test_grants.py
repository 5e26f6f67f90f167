"""The operator's lines: written as a person would, printed for a deployment of today, and all that they need be."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.pipelines.yaml_source import read_yaml
from convergence_assets.settings import Settings
from convergence_assets.tenancy.grants import in_lines, merged, written
from convergence_assets.tenancy.registry import grants_needed
from tests import commands
from tests.clean_environment import clean_environment

Edit = Callable[[str, str, str], int]

PLAN = {"tenants": {"hooli": {"plan": "enterprise"}}}
FILES = [
    ("plan: a\n", "plan: a\ntenants:\n  hooli: {plan: enterprise}\n"),
    ("plan: a # no end of line", "plan: a # no end of line\ntenants:\n  hooli: {plan: enterprise}\n"),
    ("tenants:\nplan: a\n", "tenants:\n  hooli: {plan: enterprise}\nplan: a\n"),
    ("tenants: {}\nplan: a\n", "tenants: {hooli: {plan: enterprise}}\nplan: a\n"),
    ("tenants: {acme: {plan: b}} # ours\nplan: a\n",
     "tenants: {acme: {plan: b}, hooli: {plan: enterprise}} # ours\nplan: a\n"),
    ("tenants:\n    # the first\n    acme: {plan: b} # big\n# the plan\nplan: a\n",
     "tenants:\n    # the first\n    acme: {plan: b} # big\n    hooli: {plan: enterprise}\n# the plan\nplan: a\n"),
    ("tenants:\n  acme:\n    plan: b\nplan: a\n", "tenants:\n  acme:\n    plan: b\n  hooli: {plan: enterprise}\nplan: a\n"),
    ("tenants:\n  acme: {plan: b}", "tenants:\n  acme: {plan: b}\n  hooli: {plan: enterprise}\n"),
    ("tenants: {\n  acme: {plan: b}\n}\n", None),
    ("tenants:\n  hooli: {project: some-project} # ours\n",
     "tenants:\n  hooli: {project: some-project, plan: enterprise} # ours\n"),
    ("tenants:\n  hooli:\n    project: some-project\nplan: a\n",
     "tenants:\n  hooli:\n    project: some-project\n    plan: enterprise\nplan: a\n"),
    ("tenants:\n  hooli: {plan: starter}\n", None),
    ("tenants: {hooli: {project: some-project}}\n", None),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), FILES)
def test_a_line_is_added_with_remarks_and_order_kept_or_nothing_is_written(before: str, after: str | None) -> None:
    found = written(before.encode(), PLAN)
    assert (found.decode() if found else None) == after


_NAMES = st.sampled_from(["acme", "globex", "hooli", "no", "on_1"])
_GIVEN = st.fixed_dictionaries({}, optional={
    "plan": st.sampled_from(["starter", "no", "1"]), "project": st.just("a-project"),
    "limits": st.fixed_dictionaries({"look_back_days": st.integers(1, 90)}),
})  # fmt: skip


@pytest.mark.property
@given(
    st.fixed_dictionaries({
        "tenants": st.dictionaries(_NAMES, _GIVEN, min_size=1, max_size=3),
        "secrets": st.dictionaries(_NAMES, st.lists(st.sampled_from(["A", "NO", "X_1"]), min_size=1), min_size=1),
    }),
    st.sampled_from(["plan: a\n", "tenants:\n  other: {plan: a}\nplan: b\n", "secrets: {other: [A]}\n", "tenants: {}\na: b"]),
)  # fmt: skip
def test_what_is_written_reads_as_the_file_and_the_grant_together(
    grant: dict[str, dict[str, object]], text: str
) -> None:
    raw = written(text.encode(), grant)
    before = read_yaml("f", text.encode()).data
    assert raw is not None
    assert read_yaml("f", raw).data == merged([before, grant])


def test_two_grants_in_one_have_the_larger_bound_and_what_is_in_either_list() -> None:
    one = {"tenants": {"a": {"limits": {"x": 1}}}, "secrets": {"a": ["A"]}}
    other = {"tenants": {"a": {"limits": {"x": 3}, "plan": "p"}}, "secrets": {"a": ["B", "A"], "b": ["A"]}}
    assert merged([one, other]) == {
        "tenants": {"a": {"limits": {"x": 3}, "plan": "p"}}, "secrets": {"a": ["A", "B"], "b": ["A"]},
    }  # fmt: skip


@pytest.fixture
def of_yesterday(tenants: Path, edit: Edit) -> Path:
    """Tenants that ask for all that needs a line, one of it hidden behind another."""
    edit("_defaults.yaml", "  acme: {plan: enterprise}", "  globex: {plan: starter}")
    edit("acme/tenant.yaml", "ACME__SLACK_URL", "ACME_SLACK_URL")
    edit("globex/tenant.yaml", "{location: US}", "{location: US, project: globex-project}")
    edit("initech/pipelines/total_cost/pipeline.yaml", "minutes: 30", "minutes: 600")
    edit("initech/tenant.yaml", "initech_billing_export.gcp", "acme.gcp")
    return tenants


def test_the_printed_lines_are_all_that_a_deployment_of_today_needs(of_yesterday: Path, tmp_path: Path) -> None:
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(tmp_path / "home"),
        "CONVERGENCE_TENANTS": str(of_yesterday),
    }
    done = commands.convergence("tenants", "grants", environ=environ)
    assert (done.returncode, done.stdout) == (
        1,
        "tenants:\n"
        "  acme: {plan: enterprise}\n"
        "  globex: {project: globex-project}\n"
        "  initech: {limits: {max_pipeline_duration_minutes: 600}}\n"
        "secrets:\n"
        "  acme: [ACME_SLACK_URL]\n"
        "access:\n"
        "  initech: {tables: [acme.gcp_billing_export_resource_v1_2C3D4E_5F6A7B_8C9D0E]}\n",
    ), done.stderr
    defaults = of_yesterday / "_defaults.yaml"
    defaults.write_text(
        defaults.read_text().replace("  globex: {plan: starter}\n", "") + done.stdout[len("tenants:\n") :]
    )
    again = commands.convergence("tenants", "grants", environ=environ)
    assert (again.returncode, again.stdout) == (0, ""), again.stdout
    assert commands.convergence("validate", environ=environ).returncode == 0
    shown = commands.convergence("tenants", "show", "acme", environ=environ).stdout
    assert "  given: tenants: {acme: {plan: enterprise}}\n  given: secrets: {acme: [ACME_SLACK_URL]}\n" in shown
    shown_as_json = json.loads(commands.convergence("tenants", "show", "acme", "--json", environ=environ).stdout)
    assert shown_as_json["given"] == {"tenants": {"plan": "enterprise"}, "secrets": ["ACME_SLACK_URL"]}


def test_the_lines_are_found_without_the_tenants_own_history(of_yesterday: Path, tmp_path: Path) -> None:
    environ = {"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(of_yesterday)}
    needed = grants_needed(Settings.from_env(environ))
    assert yaml.safe_load(in_lines(needed)) == needed
    assert not (tmp_path / "home").exists()
