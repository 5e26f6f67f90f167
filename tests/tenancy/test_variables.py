"""Which environment variables a tenant's alert routes may name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from tests.tenancy.conftest import TODAY

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]

PLATFORMS = [
    "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_KEY", "OCI_KEY", "DAGSTER_PG_PASSWORD",
    "REDIS_URL", "KUBERNETES_SERVICE_HOST", "CONVERGENCE_ADMIN_KEY", "CONVERGENCE_METRICS_TOKEN", "GCP_PROJECT_ID",
    "API_PORT", "PGPASSWORD", "PGSERVICE", "BIGQUERY_EMULATOR_HOST",
]  # fmt: skip


def add(tenants: Path, tenant_id: str, variable: str) -> str:
    """A tenant like globex with one route; its file."""
    folder = tenants / tenant_id
    folder.mkdir()
    text = (tenants / "globex" / "tenant.yaml").read_text()
    text = text.replace("tenant_id: globex", f"tenant_id: {tenant_id}").replace(
        "globex_billing", f"{tenant_id}_billing"
    )
    text += f'alerts:\n  routes:\n    - {{severities: [critical], to: "https://h/${{env:{variable}}}"}}\n'
    (folder / "tenant.yaml").write_text(text)
    return str(folder / "tenant.yaml")


def grant(tenants: Path, text: str) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write(f"secrets: {text}\n")


def only_problem(registry: TenantRegistry, tenant_id: str) -> Problem:
    (problem,) = registry.rejected[tenant_id].problems
    return problem


def test_a_variable_without_the_tenants_prefix_is_refused_at_its_line_with_the_line_that_would_allow_it(
    load: Load, edit: Edit
) -> None:
    line = edit("acme/tenant.yaml", "ACME__SLACK_URL", "ACME_SLACK_URL")
    problem = only_problem(load(), "acme")
    assert (problem.line, problem.key) == (line, "alerts.routes[0].to")
    assert problem.render().endswith(
        "ACME_SLACK_URL is no variable of this tenant's; expected a variable called ACME__..., "
        "or the operator's line in _defaults.yaml: secrets: {acme: [ACME_SLACK_URL]}"
    )


def test_a_variable_that_the_operator_gives_by_name_is_allowed_to_that_tenant_alone(
    tenants: Path, load: Load, edit: Edit
) -> None:
    edit("acme/tenant.yaml", "ACME__SLACK_URL", "SHARED_HOOK")
    add(tenants, "hooli", "SHARED_HOOK")
    grant(tenants, "{acme: [SHARED_HOOK]}")
    registry = load()
    assert "acme" in registry.tenants
    assert "SHARED_HOOK is no variable" in only_problem(registry, "hooli").message


@pytest.mark.parametrize("variable", PLATFORMS)
def test_no_line_of_the_operator_gives_a_tenant_the_platforms_own_variables(
    tenants: Path, load: Load, variable: str
) -> None:
    add(tenants, "hooli", variable)
    grant(tenants, f"{{hooli: [{variable}]}}")
    assert f"{variable} is the platform's own" in only_problem(load(), "hooli").message


def test_a_variable_that_dagster_yaml_names_is_the_platforms(
    tenants: Path, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text("storage:\n  postgres:\n    postgres_db: {password: {env: OUR_DB_WORD}}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    add(tenants, "hooli", "OUR_DB_WORD")
    grant(tenants, "{hooli: [OUR_DB_WORD]}")
    assert "OUR_DB_WORD is the platform's own" in only_problem(load(), "hooli").message


@pytest.mark.parametrize("tenant_id", ["aws", "google", "azure", "oci", "dagster", "redis", "kubernetes", "pge"])
def test_a_tenant_that_is_called_like_a_library_has_its_own_variables_and_none_of_the_librarys(
    tenants: Path, load: Load, tenant_id: str
) -> None:
    add(tenants, tenant_id, f"{tenant_id.upper()}__HOOK")
    registry = load()
    assert registry.tenants[tenant_id].alert_routes[0].to.variables == (f"{tenant_id.upper()}__HOOK",)
    (tenants / tenant_id / "tenant.yaml").unlink()
    (tenants / tenant_id).rmdir()
    add(tenants, tenant_id, f"{tenant_id.upper()}_SECRET_ACCESS_KEY")
    assert load().rejected[tenant_id]


@pytest.mark.parametrize(
    ("address", "near"),
    [("syslog://localhost", None), ("exec://x/${env:HOOLI__X}", None), ("dbus://", None), ("jsn://h/x", "json")],
)
def test_an_address_that_sends_to_no_host_is_refused_at_its_line(
    tenants: Path, load: Load, edit: Edit, address: str, near: str | None
) -> None:
    add(tenants, "hooli", "HOOLI__HOOK")
    line = edit("hooli/tenant.yaml", "https://h/${env:HOOLI__HOOK}", address)
    problem = only_problem(load(), "hooli")
    assert (problem.line, problem.key, problem.suggestion) == (line, "alerts.routes[0].to", near)
    assert "is no address of a tenant's; expected one of alertmanager," in problem.render()


def test_no_variable_crosses_between_tenants_whose_ids_begin_alike(tenants: Path, load: Load) -> None:
    add(tenants, "acme_eu", "ACME__SLACK_URL")
    add(tenants, "acme_us", "ACME_US__SLACK_URL")
    registry = load()
    assert {"acme", "acme_us"} <= set(registry.tenants)
    assert "ACME__SLACK_URL is no variable" in only_problem(registry, "acme_eu").message


@pytest.mark.parametrize("tenant_id", ["acme__eu", "acme_"])
def test_a_new_id_whose_variables_could_be_anothers_is_refused_and_one_that_was_accepted_stays(
    tenants: Path, tmp_path: Path, tenant_id: str
) -> None:
    file = Path(add(tenants, tenant_id, f"{tenant_id.upper()}__HOOK"))
    registry = load_registry(str(tenants), tmp_path / "accepted", today=TODAY)
    assert "could be another's" in only_problem(registry, tenant_id).message
    # As it was accepted before there was the rule.
    store = tmp_path / "accepted"
    kept = store / ".versions" / tenant_id / "old"
    kept.mkdir(parents=True)
    (kept / "tenant.yaml").write_text(file.read_text())
    (store / tenant_id).symlink_to(Path(".versions") / tenant_id / "old")
    assert tenant_id in load_registry(str(tenants), store, today=TODAY).tenants


def test_a_tenant_that_was_there_first_keeps_its_variables_from_one_whose_id_begins_its_own(
    tenants: Path, load: Load, edit: Edit
) -> None:
    edit("acme/tenant.yaml", "ACME__SLACK_URL", "ACME__EU__HOOK")
    add(tenants, "acme__eu", "ACME__EU__HOOK")
    assert "ACME__EU__HOOK is no variable" in only_problem(load(), "acme").message


def test_a_version_that_was_accepted_before_the_rule_is_not_served_with_a_variable_of_the_platform(
    tenants: Path, tmp_path: Path, edit: Edit
) -> None:
    load_registry(str(tenants), tmp_path / "accepted", today=TODAY)
    (kept,) = (tmp_path / "accepted" / ".versions" / "acme").glob("*/tenant.yaml")
    kept.write_text(kept.read_text().replace("ACME__SLACK_URL", "CONVERGENCE_ADMIN_KEY"))
    edit("acme/tenant.yaml", "timezone:", "time zone:")
    registry = load_registry(str(tenants), tmp_path / "accepted", today=TODAY)
    assert "acme" not in registry.tenants
    alone = load_registry(str(tenants), tmp_path / "accepted", today=TODAY, only=["acme"])
    assert "acme" not in alone.tenants
