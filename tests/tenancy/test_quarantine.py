"""A bad file takes down nobody: not the others, not its own tenant, not the process."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from convergence_assets.pipelines.catalog import LoadedTemplate, library, load_template
from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy import loading as loading_module
from convergence_assets.tenancy.accepted_versions import AcceptedStore
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.tenancy.tenant_builder import build_tenant

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]
TODAY = date(2026, 11, 23)
ALL = {"acme", "globex", "initech"}


def add(tenants: Path, tenant_id: str, dataset: str | None = None) -> None:
    """A tenant like globex, on a dataset of its own or on another's."""
    shutil.copytree(tenants / "globex", tenants / tenant_id)
    text = (tenants / tenant_id / "tenant.yaml").read_text().replace("tenant_id: globex", f"tenant_id: {tenant_id}")
    place = f"{{location: US, dataset: {dataset}}}" if dataset else "{location: US}"
    (tenants / tenant_id / "tenant.yaml").write_text(text.replace("{location: US}", place))


def test_a_tenant_that_was_never_accepted_is_rejected_and_the_others_live(
    tenants: Path, load: Load, edit: Edit, tmp_path: Path
) -> None:
    edit("acme/tenant.yaml", "timezone:", "timezome:")
    registry = load(tmp_path / "accepted")
    assert set(registry.tenants) == ALL - {"acme"}
    assert registry.rejected["acme"].last_accepted is None


def test_a_bad_edit_of_an_own_pipeline_leaves_the_whole_tenant_on_its_last_version(
    tenants: Path, load: Load, edit: Edit, tmp_path: Path
) -> None:
    before = load(tmp_path / "accepted").tenants["initech"]
    edit("initech/pipelines/total_cost/total_cost_daily.sql", "FROM licences", "FROM licence")
    registry = load(tmp_path / "accepted")
    assert registry.tenants["initech"] == before
    assert registry.rejected["initech"].last_accepted == before.config_version
    assert registry.rejected["initech"].problems[0].file.endswith("total_cost_daily.sql")


def test_defaults_that_take_a_plan_away_leave_its_users_on_what_they_had(
    load: Load, edit: Edit, tmp_path: Path
) -> None:
    before = load(tmp_path / "accepted")
    edit("_defaults.yaml", "  enterprise:", "  business:")
    edit("_defaults.yaml", "{plan: enterprise}", "{plan: business}")
    registry = load(tmp_path / "accepted")
    assert registry.tenants["acme"] == before.tenants["acme"]
    assert "unknown plan 'enterprise'" in registry.rejected["acme"].problems[0].message
    assert set(registry.rejected) == {"acme"}


def test_defaults_that_were_never_right_reject_everybody_with_the_reason(load: Load, tenants: Path) -> None:
    (tenants / "_defaults.yaml").write_text("plan: [\n")
    registry = load()
    assert not registry.tenants
    assert set(registry.rejected) == ALL
    assert all("_defaults.yaml" in r.problems[0].file for r in registry.rejected.values())
    (tenants / "_defaults.yaml").unlink()
    assert "missing" in load().problems[0].message


def test_a_broken_shared_template_is_the_problem_of_its_users_alone(tenants: Path, edit: Edit) -> None:
    own = tenants / "initech" / "pipelines" / "total_cost"
    files = {f.relative_to(own).as_posix(): f.read_bytes() for f in own.rglob("*") if f.is_file()}
    shutil.rmtree(own)
    files["total_cost_daily.sql"] = b"SELECT"
    shared: dict[str, LoadedTemplate] = {**library(), "total_cost": load_template("total_cost", "library/x", files)}
    registry = load_registry(str(tenants), None, today=TODAY, templates=shared)
    assert set(registry.tenants) == {"acme", "globex"}
    files["pipeline.yaml"] = b"name: ["
    shared["total_cost"] = load_template("total_cost", "library/x", files)
    registry = load_registry(str(tenants), None, today=TODAY, templates=shared)
    assert set(registry.tenants) == {"acme", "globex"}
    assert registry.rejected["initech"].problems[0].file == "library/x/pipeline.yaml"


def test_a_new_tenant_cannot_take_a_dataset_by_its_name(tenants: Path, load: Load, edit: Edit, tmp_path: Path) -> None:
    edit("acme/tenant.yaml", "{location: EU}", "{location: EU, dataset: rockets}")
    assert "acme" in load(tmp_path / "accepted").tenants
    add(tenants, "rockets")
    registry = load(tmp_path / "accepted")
    assert set(registry.tenants) == ALL
    (problem,) = registry.rejected["rockets"].problems
    assert "tenants acme and rockets share dataset rockets" in problem.message
    assert problem.line == 1


def test_a_claim_on_the_dataset_of_a_tenant_with_a_bad_file_fails_as_well(
    tenants: Path, load: Load, edit: Edit, tmp_path: Path
) -> None:
    load(tmp_path / "accepted")
    edit("acme/tenant.yaml", "plan: enterprise", "plan: gold")
    add(tenants, "aaa_first", dataset="ACME")
    registry = load(tmp_path / "accepted")
    assert set(registry.tenants) == ALL
    assert registry.rejected["acme"].last_accepted
    assert registry.rejected["aaa_first"].last_accepted is None


def test_an_edit_that_claims_anothers_dataset_leaves_its_tenant_where_it_was(
    load: Load, edit: Edit, tmp_path: Path
) -> None:
    load(tmp_path / "accepted")
    line = edit("acme/tenant.yaml", "{location: EU}", "{location: EU, dataset: globex}")
    registry = load(tmp_path / "accepted")
    assert {t.tenant_id: t.dataset for t in registry.tenants.values()} == {t: t for t in ALL}
    (problem,) = registry.rejected["acme"].problems
    assert problem.line == line
    assert registry.rejected["acme"].last_accepted


def test_one_dataset_name_in_two_projects_is_two_datasets(load: Load, edit: Edit) -> None:
    edit("acme/tenant.yaml", "{location: EU}", "{dataset: costs}")
    edit("globex/tenant.yaml", "{location: US}", "{dataset: costs}")
    edit("_defaults.yaml", "{plan: enterprise}", "{plan: enterprise, project: acme-project}")
    edit("_defaults.yaml", "tenants:", "tenants:\n  globex: {project: globex-project}")
    assert set(load().tenants) == ALL


def test_a_fault_of_ours_in_one_tenant_is_reported_and_the_others_live(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = build_tenant

    def failing(tenant_id: str, *rest: Any, **more: Any) -> object:
        if tenant_id == "acme":
            raise KeyError("s3cr3t")
        return real(tenant_id, *rest, **more)

    monkeypatch.setattr(loading_module, "build_tenant", failing)
    registry = load()
    assert set(registry.tenants) == ALL - {"acme"}
    problem = registry.rejected["acme"].problems[0].render()
    assert "a fault of Convergence" in problem
    assert "s3cr3t" not in problem


def test_a_file_that_cannot_be_read_is_its_tenants_problem_alone(load: Load, tenants: Path, tmp_path: Path) -> None:
    before = load(tmp_path / "accepted").tenants["acme"]
    (tenants / "acme" / "tenant.yaml").unlink()
    (tenants / "acme" / "tenant.yaml").mkdir()
    registry = load(tmp_path / "accepted")
    assert registry.tenants["acme"] == before
    (problem,) = registry.rejected["acme"].problems
    assert problem.message.startswith("cannot be read")
    assert problem.file.endswith("acme/tenant.yaml")


def test_a_store_that_cannot_be_written_is_a_problem_and_no_outage(load: Load, tmp_path: Path) -> None:
    (tmp_path / "accepted").write_text("a file where the folder should be")
    registry = load(tmp_path / "accepted")
    assert set(registry.tenants) == ALL
    assert any("cannot be kept or read" in p.message for p in registry.problems)


def test_validation_leaves_the_store_alone(load: Load, tmp_path: Path) -> None:
    load(None)
    assert list(tmp_path.iterdir()) == [tmp_path / "tenants"]


def test_an_accepted_version_is_read_whole_while_it_is_replaced(tmp_path: Path) -> None:
    store = AcceptedStore(tmp_path)
    store.keep_version("acme", "one", {"a.yaml": b"1", "deep/b.sql": b"1"})
    store.keep_version("acme", "two", {"a.yaml": b"2"})
    assert store.version("acme") == "two"
    assert store.files("acme") == {"a.yaml": b"2"}
    store.keep_version("acme", "one", {"a.yaml": b"ignored, since version one is known"})
    assert store.files("acme") == {"a.yaml": b"1", "deep/b.sql": b"1"}
    assert store.files("nobody") == {}


def test_problems_are_sorted_by_file_and_line_and_said_once(load: Load, edit: Edit) -> None:
    edit("globex/tenant.yaml", "timezone: America", "timezone: Amerika")
    edit("acme/tenant.yaml", "plan: enterprise", "plan: gold")
    edit("acme/tenant.yaml", "tenant_id: acme", "tenant_id: acme2")
    problems = load().problems
    places = [(p.file, p.line or 0) for p in problems]
    assert places == sorted(places)
    assert len(set(problems)) == len(problems) == 3


def test_a_problem_renders_as_one_line() -> None:
    problem = Problem("f.yaml", 3, "plan", "unknown plan 'gold'", "one of a, b", "b")
    assert problem.render() == "f.yaml:3: plan: unknown plan 'gold'; expected one of a, b; did you mean 'b'?"
