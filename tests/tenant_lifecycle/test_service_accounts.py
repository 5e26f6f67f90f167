"""As whom a tenant's statements run on BigQuery: the operator's word, and never another tenant's account."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.tenant_lifecycle.service_accounts import account_grants

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]

PATTERN = "convergence-{tenant}@our-project.iam.gserviceaccount.com"


def say(tenants: Path, text: str) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write(text + "\n")


def add(tenants: Path, tenant_id: str) -> None:
    (tenants / tenant_id).mkdir()
    text = (tenants / "globex" / "tenant.yaml").read_text()
    text = text.replace("tenant_id: globex", f"tenant_id: {tenant_id}").replace(
        "globex_billing", f"{tenant_id}_billing"
    )
    (tenants / tenant_id / "tenant.yaml").write_text(text)


def accounts(registry: TenantRegistry) -> dict[str, str | None]:
    return {name: (t.service_account or "").partition("@")[0] or None for name, t in registry.tenants.items()}


def test_without_a_line_statements_run_as_the_platform(load: Load) -> None:
    assert set(accounts(load()).values()) == {None}


def test_a_pattern_gives_every_tenant_its_own_and_a_line_another(tenants: Path, load: Load, edit: Edit) -> None:
    add(tenants, "acme_eu")
    say(tenants, f"service_account: '{PATTERN}'")
    edit(
        "_defaults.yaml", "{plan: enterprise}", "{plan: enterprise, service_account: rockets@p.iam.gserviceaccount.com}"
    )
    assert accounts(load()) == {
        "acme": "rockets", "acme_eu": "convergence-acme-eu", "globex": "convergence-globex",
        "initech": "convergence-initech",
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["everybody@p.iam.gserviceaccount.com", "{tenant}", "{tenant}-{tenant}@p", "{t}@p"])
def test_a_pattern_without_the_tenant_in_it_is_the_operators_mistake(tenants: Path, load: Load, pattern: str) -> None:
    say(tenants, f"service_account: '{pattern}'")
    (problem,) = load().problems
    assert problem.file.endswith("_defaults.yaml")
    assert problem.key == "service_account"


@pytest.mark.parametrize(("tenant_id", "fits"), [("abc", True), ("a" * 18, True), ("a" * 19, False)])
def test_what_the_pattern_makes_of_an_id_has_to_be_an_account(
    tenants: Path, load: Load, tenant_id: str, fits: bool
) -> None:
    add(tenants, tenant_id)
    say(tenants, f"service_account: '{PATTERN}'")
    registry = load()
    assert (tenant_id in registry.tenants) is fits
    if not fits:
        (problem,) = registry.rejected[tenant_id].problems
        assert "is no service account: 6 to 30" in problem.message
        assert f"tenants: {{{tenant_id}: {{service_account: ...}}}}" in problem.render()


def test_a_tenants_file_names_no_account_but_the_one_it_has(tenants: Path, load: Load, edit: Edit) -> None:
    line = edit("globex/tenant.yaml", "timezone:", "service_account: admin-of-all@p.iam.gserviceaccount.com\ntimezone:")
    (problem,) = load().rejected["globex"].problems
    assert (problem.line, problem.key, problem.reaches_out) == (line, "service_account", True)
    assert problem.grant == {"tenants": {"globex": {"service_account": "admin-of-all@p.iam.gserviceaccount.com"}}}
    say(tenants, f"service_account: '{PATTERN}'")
    edit("globex/tenant.yaml", "admin-of-all@p", "convergence-globex@our-project")
    assert "globex" in load().tenants


def test_no_two_tenants_have_one_account(tenants: Path, load: Load, edit: Edit) -> None:
    say(tenants, f"service_account: '{PATTERN}'")
    taken = PATTERN.replace("{tenant}", "globex")
    edit("_defaults.yaml", "{plan: enterprise}", f"{{plan: enterprise, service_account: {taken}}}")
    registry = load()
    assert set(registry.tenants) == {"acme", "initech"}  # a line by name holds before the pattern
    assert "is the service account of tenant acme too" in registry.rejected["globex"].problems[0].message
    edit("_defaults.yaml", "tenants:\n", f"tenants:\n  globex: {{service_account: {taken}}}\n")
    assert set(load().tenants) == {"initech"}


def test_the_commands_allow_what_is_needed_and_no_more(tenants: Path, load: Load) -> None:
    say(tenants, f"service_account: '{PATTERN}'")
    globex = replace(load().tenants["globex"], location="EU")
    account = "convergence-globex@our-project.iam.gserviceaccount.com"
    query, to = (
        "bq query --use_legacy_sql=false --project_id=our-project --location=EU",
        f'TO "serviceAccount:{account}"',
    )
    export = "globex_billing_export.gcp_billing_export_resource_v1_1B2C3D_4E5F6A_7B8C9D"
    assert [grant.command for grant in account_grants(globex, "our-project", "workers@p.iam.gserviceaccount.com")] == [
        "gcloud iam service-accounts create convergence-globex --project=our-project",
        f"gcloud iam service-accounts add-iam-policy-binding {account} "
        "--member=serviceAccount:workers@p.iam.gserviceaccount.com --role=roles/iam.serviceAccountTokenCreator",
        f"{query} 'GRANT `roles/bigquery.jobUser` ON PROJECT `our-project` {to}'",
        f"{query} 'CREATE SCHEMA IF NOT EXISTS `our-project.globex`'",
        f"{query} 'GRANT `roles/bigquery.dataEditor` ON SCHEMA `our-project.globex` {to}'",
        f"{query} 'CREATE SCHEMA IF NOT EXISTS `our-project._staging_globex` OPTIONS(default_table_expiration_days=7)'",
        f"{query} 'GRANT `roles/bigquery.dataEditor` ON SCHEMA `our-project._staging_globex` {to}'",
        f"{query} 'GRANT `roles/bigquery.dataViewer` ON TABLE `our-project.{export}` {to}'",
    ]


def test_the_operator_puts_the_platforms_account_in_where_it_is_not_known(tenants: Path, load: Load) -> None:
    say(tenants, f"service_account: '{PATTERN}'")
    commands = [grant.command for grant in account_grants(load().tenants["globex"], "our-project")]
    assert "--member=serviceAccount:THE_ACCOUNT_OF_THE_PLATFORM" in commands[1]
