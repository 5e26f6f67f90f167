"""What the operator grants a tenant as it is onboarded: its plan, its secrets, its rows of a shared table."""

import shutil
from pathlib import Path

from tests.cli.onboarding import EXPORT, HOOLI, Convergence, onboarded, tree

BIG = ("--plan-name", "enterprise", "--alert-route", "critical=${env:OUR_SLACK}")


def test_the_operators_lines_are_written_beside_the_tenants_file(convergence: Convergence, tenants: Path) -> None:
    before = (tenants / "_defaults.yaml").read_text()
    plan = convergence("tenants", "onboard", *HOOLI, *BIG, "--plan")
    assert "tenants: {hooli: {plan: enterprise}}, secrets: {hooli: [OUR_SLACK]}, in " in plan.stdout
    assert (tenants / "_defaults.yaml").read_text() == before
    done = onboarded(convergence, *BIG)
    assert done["plan"]["grants"] == {"tenants": {"hooli": {"plan": "enterprise"}}, "secrets": {"hooli": ["OUR_SLACK"]}}
    assert done["done"][0].startswith(f"wrote into {tenants}/_defaults.yaml: tenants: {{hooli:")
    after = (tenants / "_defaults.yaml").read_text()
    assert after == before + "  hooli: {plan: enterprise}\nsecrets:\n  hooli: [OUR_SLACK]\n"
    assert convergence("validate").returncode == 0
    assert onboarded(convergence, *BIG)["outcome"] == "unchanged"


def test_the_operators_lines_are_taken_back_with_the_rest(convergence: Convergence, tmp_path: Path) -> None:
    before = tree(tmp_path / "tenants")
    (tmp_path / "home" / "control.db").mkdir(parents=True)
    failed = onboarded(convergence, *BIG)
    assert (failed["code"], failed["outcome"], failed["left"]) == (1, "failed", [])
    assert any(line.startswith("took tenants: {hooli: {plan: enterprise}}") for line in failed["undone"])
    assert tree(tmp_path / "tenants") == before


def test_what_stands_in_a_new_tenants_folder_is_not_allowed_by_its_onboarding(
    convergence: Convergence, tenants: Path
) -> None:
    own = tenants / "hooli" / "pipelines"
    shutil.copytree(tenants / "initech" / "pipelines" / "total_cost", own / "total_cost")
    file = own / "total_cost" / "pipeline.yaml"
    file.write_text(file.read_text().replace("minutes: 30", "minutes: 600"))
    refused = onboarded(convergence, *BIG)
    assert (refused["code"], refused["outcome"]) == (1, "refused")
    assert any("600 is above the operator's bound" in reason for reason in refused["reasons"])


def test_a_table_of_several_tenants_is_shared_out_by_each_ones_onboarding(
    convergence: Convergence, tenants: Path
) -> None:
    first = onboarded(convergence, "--share-project", "hooli-*")
    assert first["plan"]["grants"] == {"shared_sources": {EXPORT: {"hooli": {"projects": ["hooli-*"]}}}}
    words = ("tenants", "onboard", "umbra", *HOOLI[1:], "--share-label", "customer=umbra", "--yes")
    second = convergence(*words)
    assert second.returncode == 0, second.stderr
    defaults = (tenants / "_defaults.yaml").read_text()
    assert defaults.endswith(
        f"shared_sources:\n  {EXPORT}: {{hooli: {{projects: [hooli-*]}}, umbra: {{labels: {{customer: umbra}}}}}}\n"
    )
    assert convergence("validate").returncode == 0
    assert "is there and says the same" in convergence(*words).stdout
    third = convergence("tenants", "onboard", "other", *HOOLI[1:], "--yes")
    assert (third.returncode, "no row of it is this tenant's" in third.stderr) == (1, True), third.stderr
    wrong = convergence("tenants", "onboard", "other", *HOOLI[1:], "--share-label", "customer", "--yes")
    assert (wrong.returncode, "expected key=value" in wrong.stderr) == (2, True), wrong.stderr
