"""Whose each source is: whoever named it first keeps it and goes on, others are refused until they are given it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergence_assets.control import published_locations
from convergence_assets.control.store import ControlStore
from convergence_assets.pipelines.problems import Problem
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.ownership import Claim, Claims, losers, widest
from convergence_assets.tenancy.registry import load_registry, load_tenants
from convergence_assets.tenancy.sharing import place_of
from convergence_assets.tenancy.tenant import TenantRegistry
from tests import commands
from tests.clean_environment import clean_environment
from tests.control_stores import sqlite_store
from tests.tenancy.conftest import TODAY

Load = Callable[..., TenantRegistry]
Edit = Callable[[str, str, str], int]

EXPORT = "globex_billing_export.gcp_billing_export_resource_v1_1B2C3D_4E5F6A_7B8C9D"
PLACE = f".{EXPORT}".lower()


def copy_of_globex(tenants: Path, tenant_id: str = "copy") -> None:
    """A file copied for onboarding, in which nobody changed the export."""
    (tenants / tenant_id).mkdir()
    text = (tenants / "globex" / "tenant.yaml").read_text()
    (tenants / tenant_id / "tenant.yaml").write_text(text.replace("tenant_id: globex", f"tenant_id: {tenant_id}"))


def allow(tenants: Path, text: str) -> None:
    with (tenants / "_defaults.yaml").open("a") as file:
        file.write(f"access: {text}\n")


@pytest.fixture
def settings(tenants: Path, tmp_path: Path) -> Settings:
    """A deployment with a control store."""
    found = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants)})
    sqlite_store(found.home / "control.db")
    return found


def test_a_copy_is_refused_at_its_line_the_first_goes_on_and_both_are_named(settings: Settings, tenants: Path) -> None:
    assert set(load_tenants(settings).tenants) == {"acme", "globex", "initech"}
    copy_of_globex(tenants)
    registry = load_tenants(settings)
    assert set(registry.tenants) == {"acme", "globex", "initech"}
    (problem,) = registry.rejected["copy"].problems
    assert (problem.file, problem.key) == (f"{tenants}/copy/tenant.yaml", "pipelines[0].with.export_table")
    assert problem.render().endswith(
        f"{EXPORT} is read by tenant globex, which had it first; expected a table that is no other tenant's, "
        f"or the operator's line in _defaults.yaml: access: {{copy: {{tables: [{EXPORT}]}}}}"
    )


def test_the_control_store_tells_where_no_accepted_version_does(settings: Settings, tenants: Path) -> None:
    load_tenants(settings)
    assert published_locations.known_locations(settings).owners[PLACE] == "globex"
    copy_of_globex(tenants, "aaa_first")
    registry = load_registry(str(tenants), None, today=TODAY, context=LoadContext.of(settings))
    assert "globex" in registry.tenants
    assert "which had it first" in registry.rejected["aaa_first"].problems[0].message


def test_an_accepted_version_tells_where_there_is_no_control_store(tenants: Path, tmp_path: Path) -> None:
    load_registry(str(tenants), tmp_path / "accepted", today=TODAY)
    copy_of_globex(tenants, "aaa_first")
    registry = load_registry(str(tenants), tmp_path / "accepted", today=TODAY)
    assert set(registry.rejected) == {"aaa_first"}


def test_where_nobody_had_it_first_both_are_refused_and_a_line_for_all_but_one_lets_all_go_on(
    load: Load, tenants: Path
) -> None:
    copy_of_globex(tenants)
    registry = load()
    assert set(registry.rejected) == {"copy", "globex"}
    both = [r.problems[0] for r in registry.rejected.values()]
    assert all("is read by tenants copy and globex, and none of them had it first" in p.message for p in both)
    grants = [p.grant for p in both if p.grant]
    assert grants == [{"access": {"globex": {"tables": [EXPORT]}}}]
    allow(tenants, f"{{globex: {{tables: [{EXPORT}]}}}}")
    assert not load().rejected


def test_a_grant_for_all_leaves_a_source_to_nobody(load: Load, tenants: Path) -> None:
    copy_of_globex(tenants)
    allow(tenants, f'{{"*": {{tables: [{EXPORT}]}}}}')
    registry = load()
    assert not registry.rejected
    assert PLACE not in registry.owners


def test_an_edit_that_names_anothers_source_leaves_its_tenant_on_the_last_accepted_version(
    settings: Settings, tenants: Path, edit: Edit
) -> None:
    load_tenants(settings)
    text = (tenants / "acme" / "tenant.yaml").read_text()
    own = text[text.index("acme_billing") :].split("\n")[0]
    edit("acme/tenant.yaml", own, EXPORT)
    registry = load_tenants(settings)
    assert set(registry.tenants) == {"acme", "globex", "initech"}
    assert registry.rejected["acme"].last_accepted
    assert registry.tenants["acme"].pipelines[0].steps[0].sources["billing_export"].tables == (own,)


def test_a_tenant_whose_files_are_broken_keeps_its_source(settings: Settings, tenants: Path, edit: Edit) -> None:
    load_tenants(settings)
    edit("globex/tenant.yaml", "timezone:", "time zone:")
    copy_of_globex(tenants)
    edit("copy/tenant.yaml", "time zone:", "timezone:")
    for accepted in (settings.accepted_tenants, None):
        registry = load_registry(str(tenants), accepted, today=TODAY, context=LoadContext.of(settings))
        assert "which had it first" in registry.rejected["copy"].problems[0].message


def test_a_tenant_that_cannot_be_asked_keeps_all_that_is_below_its_folder() -> None:
    claim = Claim("files", "gs://bucket/bills/eu", "gs://bucket/bills/eu", Problem("", None, "", ""))
    claims = Claims({"copy": [claim]})
    owners = {"gs://bucket/bills": "globex"}
    found = list(losers(claims, owners, {"globex"}, lambda tenant_id, place: False))
    assert [(tenant_id, owner) for tenant_id, _, owner, _ in found] == [("copy", "globex")]
    assert list(losers(claims, owners, set(), lambda tenant_id, place: False)) == []


@pytest.mark.parametrize("end", ["its folder goes", "it is disabled", "it reads another"])
def test_a_source_is_free_once_its_tenant_no_longer_reads_it(
    settings: Settings, tenants: Path, edit: Edit, end: str
) -> None:
    load_tenants(settings)
    if end == "its folder goes":
        (tenants / "globex" / "tenant.yaml").rename(tenants / "kept.yaml")
        (tenants / "globex").rmdir()
        (tenants / "copy").mkdir()
        text = (tenants / "kept.yaml").read_text()
        (tenants / "copy" / "tenant.yaml").write_text(text.replace("tenant_id: globex", "tenant_id: copy"))
    else:
        copy_of_globex(tenants)
        if end == "it is disabled":
            edit("globex/tenant.yaml", "timezone:", "enabled: false\ntimezone:")
        else:
            edit("globex/tenant.yaml", EXPORT, "globex_billing_export.another")
    assert "copy" in load_tenants(settings).tenants
    assert published_locations.known_locations(settings).owners[PLACE] == "copy"


FOLDERS = [
    ("gs://bucket/bills", "gs://bucket/bills", True),
    ("gs://bucket/bills", "gs://bucket/bills/eu", True),
    ("gs://bucket/bills/eu", "gs://bucket/bills", True),
    ("gs://bucket/bills", "gs://bucket/bills_eu", False),
    ("gs://bucket/bills", "s3://bucket/bills", False),
    ("abfs://exports/bills", "abfs://exports@ouraccount.dfs.core.windows.net/bills/eu", True),
    ("abfs://exports@one.dfs.core.windows.net/bills", "abfs://exports@one.blob.core.windows.net/bills", True),
    ("abfs://exports@one.dfs.core.windows.net/bills", "abfs://exports/bills", False),
]


@pytest.mark.parametrize(("first", "second", "one_place"), FOLDERS)
def test_a_remote_folder_and_what_is_below_are_one_place_by_whole_segments(
    settings: Settings, tenants: Path, first: str, second: str, one_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "ouraccount")
    own = tenants / "initech" / "pipelines" / "total_cost" / "pipeline.yaml"
    pipeline = own.read_text().replace("{{ landing }}/licences", first)
    own.write_text(pipeline)
    load_tenants(settings)
    text = (tenants / "initech" / "tenant.yaml").read_text().replace("initech", "other")
    (tenants / "other" / "pipelines").mkdir(parents=True)
    (tenants / "other" / "tenant.yaml").write_text(text)
    (tenants / "other" / "pipelines" / "total_cost").mkdir()
    for file in own.parent.rglob("*"):
        if file.is_file():
            target = tenants / "other" / "pipelines" / "total_cost" / file.relative_to(own.parent)
            target.parent.mkdir(exist_ok=True)
            target.write_text(file.read_text().replace(first, second))
    registry = load_tenants(settings)
    assert "initech" in registry.tenants
    assert ("other" in registry.rejected) is one_place
    if one_place:
        (problem,) = registry.rejected["other"].problems
        assert (problem.file.endswith("other/pipelines/total_cost/pipeline.yaml"), problem.key) == (
            True,
            "steps[0].path",
        )
        assert problem.grant == {"access": {"other": {"files": [second]}}}


def test_a_load_of_one_tenant_does_not_run_what_another_owns(settings: Settings, tenants: Path) -> None:
    load_tenants(settings)
    copy_of_globex(tenants)
    own = LoadContext.of(settings)
    alone = load_registry(str(tenants), settings.accepted_tenants, today=TODAY, only=["copy"], context=own)
    assert not alone.tenants
    assert "is read by tenant globex" in alone.rejected["copy"].problems[0].message
    assert not alone.rejected["copy"].undecided


def words(done: subprocess.CompletedProcess[str]) -> str:
    """What was said, without the frame around it."""
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_a_run_of_one_tenant_has_all_loaded_first_where_nothing_is_decided_and_a_worker_refuses(
    tenants: Path, tmp_path: Path
) -> None:
    environ = {"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants)}
    worker = load_tenants(Settings.from_env(environ | {"CONVERGENCE_ONLY_TENANTS": "globex"}))
    assert worker.rejected["globex"].undecided
    assert "it is not decided whose" in worker.rejected["globex"].problems[0].message
    copy_of_globex(tenants)
    run = ("run", "globex", "gcp_billing", "--partition", "2026-10-01")
    refused = commands.convergence(*run, environ=clean_environment() | environ)
    assert refused.returncode != 0
    assert "`convergence validate --tenant globex` says why" in words(refused)
    why = commands.convergence("validate", "--tenant", "globex", environ=clean_environment() | environ)
    assert "none of them had it first" in words(why)
    (tenants / "copy" / "tenant.yaml").unlink()
    (tenants / "copy").rmdir()
    goes_on = commands.convergence(*run, environ=clean_environment() | environ)
    assert "globex_billing_export" in words(goes_on)  # it was run, and finds no bills
    assert "had it first" not in words(goes_on)
    worker = load_tenants(Settings.from_env(environ | {"CONVERGENCE_ONLY_TENANTS": "globex"}))
    assert "globex" in worker.tenants


def test_a_version_that_was_accepted_under_older_rules_is_decided_anew(tenants: Path, tmp_path: Path) -> None:
    accepted = tmp_path / "accepted"
    load_registry(str(tenants), accepted, today=TODAY)
    link = accepted / "globex"
    kept = accepted / link.readlink()
    kept.rename(kept.with_name("under-older-rules"))
    link.unlink()
    link.symlink_to(Path(".versions") / "globex" / "under-older-rules")
    alone = load_registry(str(tenants), accepted, today=TODAY, only=["globex"])
    assert alone.rejected["globex"].undecided
    assert not alone.tenants
    load_registry(str(tenants), accepted, today=TODAY)
    assert load_registry(str(tenants), accepted, today=TODAY, only=["globex"]).tenants


def test_of_two_loads_that_give_one_source_away_the_first_one_holds(settings: Settings) -> None:
    published_locations.keep_owners(settings, {PLACE: "globex"}, [])
    published_locations.keep_owners(settings, {PLACE: "copy"}, [])
    assert published_locations.known_locations(settings).owners == {PLACE: "globex"}
    published_locations.keep_owners(settings, {PLACE: "copy"}, [PLACE])
    assert published_locations.known_locations(settings).owners == {PLACE: "copy"}
    assert ControlStore.open(settings)


_SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map(lambda s: "gs://x/" + "/".join(s))


@pytest.mark.property
@given(_SEGMENTS, st.sets(_SEGMENTS, max_size=5))
def test_the_widest_place_is_the_shortest_that_holds_it_by_whole_segments(place: str, every: set[str]) -> None:
    holding = [one for one in every if place == one or place.startswith(one + "/")]
    assert widest(place, every) == min(holding, key=len, default=place)


def test_a_dataset_in_which_others_sources_lie_is_no_new_tenants_own(settings: Settings, tenants: Path) -> None:
    load_tenants(settings)
    copy_of_globex(tenants)
    file = tenants / "copy" / "tenant.yaml"
    file.write_text(file.read_text().replace("{location: US}", "{location: US, dataset: globex_billing_export}"))
    registry = load_tenants(settings)
    assert set(registry.tenants) == {"acme", "globex", "initech"}
    (problem,) = registry.rejected["copy"].problems
    assert "holds sources that are not this tenant's" in problem.message


def test_one_that_had_such_a_dataset_first_keeps_it_and_the_reader_is_refused(
    settings: Settings, tenants: Path
) -> None:
    file = tenants / "acme" / "tenant.yaml"
    file.write_text(file.read_text().replace("{location: EU}", "{location: EU, dataset: globex_two}"))
    load_tenants(settings)
    reader = tenants / "globex" / "tenant.yaml"
    reader.write_text(reader.read_text().replace(EXPORT, "globex_two.gcp_cost_daily"))
    registry = load_tenants(settings)
    assert registry.rejected.keys() == {"globex"}
    assert "is in the dataset of tenant acme" in registry.rejected["globex"].problems[0].message


def test_a_dataset_of_that_name_in_another_project_is_not_ones_own(tenants: Path, edit: Edit) -> None:
    edit("_defaults.yaml", "tenants:\n", "tenants:\n  globex: {project: globex-analytics}\n")
    copy_of_globex(tenants)
    file = tenants / "copy" / "tenant.yaml"
    text = file.read_text().replace("{location: US}", "{location: US, dataset: globex}")
    file.write_text(text.replace(EXPORT, "globex-analytics.globex.gcp_cost_daily"))
    registry = load_registry(str(tenants), None, today=TODAY, context=LoadContext(own_project="our-project"))
    (problem,) = registry.rejected["copy"].problems
    assert "is in the dataset of tenant globex" in problem.message


def test_a_wider_folder_of_a_newcomer_takes_nothing_from_those_below() -> None:
    def claim(place: str) -> Claim:
        return Claim("files", place, place, Problem("", None, "", ""))

    owners = {"gs://b/x/globex": "globex", "gs://b/x/hooli": "hooli"}
    of = {"acme": [claim("gs://b/x")], **{owner: [claim(place)] for place, owner in owners.items()}}
    found = list(losers(Claims(of), owners, set(), lambda tenant_id, place: False))
    assert [tenant_id for tenant_id, *_ in found] == ["acme"]


def test_a_partitions_decorator_is_no_other_table() -> None:
    assert place_of("a.b$20260101", None) == place_of("a.b", None)
