"""One billing account, several tenants: each reads its projects or labels, and the parts make the whole."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from convergence_assets.assets.queries import queries_of
from convergence_assets.assets.schema_mapping import shared_views, source_schema
from convergence_assets.assets.share_counts import count_shares, reader_of
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.demo.bills import generate_bills
from convergence_assets.demo.tenants import DEMO_TENANTS
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.sharing import REST, SharedSource
from convergence_assets.tenancy.tenant import TenantRegistry
from convergence_assets.tenancy.tenant_file import Share
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Query, TableRef
from tests import commands
from tests.clean_environment import clean_environment
from tests.examples import examples
from tests.library.platform_in_a_folder import Platform
from tests.peer.peer_server import PROJECT, Peer

ROOT = Path(__file__).parents[2]
ACME = next(t for t in DEMO_TENANTS if t.tenant_id == "acme")
EXPORT = "one_account.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C"
DAY = date(2026, 10, 12)
SHARES: dict[str, Any] = {
    "rockets": {"projects": ["rocket-*"]},
    "sky": {"labels": {"env": "prod"}},
    "control": {"projects": ["mission-control", "telemetry"], "labels": {"env": "dev"}},
    "_rest": "operator",
}
TENANT = """tenant_id: {tenant_id}
display_name: {tenant_id}
timezone: Europe/Berlin
paused: true
pipelines:
  - template: gcp_billing
    with: {{export_table: {export}}}
    start_date: 2026-10-01
    thresholds: {{gcp_cost_line_items: {{every_hour_of_the_day_has_usage: {{severity: info}}}}}}
"""


def write(folder: Path, shares: dict[str, Any], tenants: list[str], more: str = "") -> Path:
    root = folder / "tenants"
    for tenant_id in tenants:
        (root / tenant_id).mkdir(parents=True, exist_ok=True)
        (root / tenant_id / "tenant.yaml").write_text(TENANT.format(tenant_id=tenant_id, export=EXPORT))
    defaults = (ROOT / "tenants" / "_defaults.yaml").read_text()
    shared = yaml.safe_dump({"shared_sources": {EXPORT: shares}}, sort_keys=False)
    (root / "_defaults.yaml").write_text(defaults + shared + more)
    return root


def load(root: Path, **more: Any) -> TenantRegistry:
    return load_registry(str(root), None, today=date(2026, 12, 1), **more)


@pytest.fixture
def registry(tmp_path: Path) -> TenantRegistry:
    found = load(write(tmp_path, SHARES, ["rockets", "sky", "control"]))
    assert not found.problems, [problem.render() for problem in found.problems]
    return found


@pytest.fixture(params=["embedded", pytest.param("bigquery", marks=pytest.mark.peer)])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "bigquery":
        peer: Peer = request.getfixturevalue("peer")
        return peer.settings(tmp_path / "home")
    return Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})


def owner_of(row: dict[str, Any]) -> str:
    """Whose a row is, as the file above says it."""
    project = (row["project"] or {}).get("id") or ""
    labels = {(label["key"], label["value"]) for label in row["labels"]}
    if project.startswith("rocket-"):
        return "rockets"
    if ("env", "prod") in labels:
        return "sky"
    if project in ("mission-control", "telemetry") and ("env", "dev") in labels:
        return "control"
    return REST


def local_day(row: dict[str, Any]) -> date:
    return datetime.fromisoformat(row["usage_start_time"]).astimezone(ZoneInfo("Europe/Berlin")).date()


def bills(folder: Path) -> list[Path]:
    """Three days, with the projects called by their bare names."""
    around = timedelta(days=1)
    files = generate_bills(folder / "bills", ACME, DAY - around, DAY + around, seed=3, rows_per_day=300)
    for file in files:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            if row["project"]:
                name = next(p for p in ACME.projects if p in row["project"]["id"] or p == row["project"]["name"])
                row["project"] |= {"id": name}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


def loaded(deployment: Settings, registry: TenantRegistry, files: list[Path]) -> list[dict[str, Any]]:
    """The rows, in the export."""
    source = registry.tenants["sky"].pipelines[0].steps[0].sources["billing_export"]
    with open_warehouse(deployment) as warehouse:
        warehouse.load_files(
            TableRef.parse(EXPORT),
            source_schema(source.spec),
            [SourceFile(str(f), "jsonl") for f in files],
            Job("load"),
        )
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_every_row_is_one_tenants_or_the_rests_and_the_sums_are_exact(
    tmp_path: Path, deployment: Settings, registry: TenantRegistry
) -> None:
    rows = loaded(deployment, registry, bills(tmp_path))
    expected = {name: [row for row in rows if owner_of(row) == name] for name in ("rockets", "sky", "control", REST)}
    assert all(expected.values()), {name: len(found) for name, found in expected.items()}
    (shared,) = registry.shared_sources
    reader = reader_of(shared, registry)
    assert reader is not None
    with open_warehouse(deployment) as warehouse:
        found = count_shares(warehouse, shared, reader.spec, DAY - timedelta(days=40), DAY + timedelta(days=40), 100)
    assert {name: part.rows for name, part in found.parts.items()} == {n: len(r) for n, r in expected.items()}
    assert found.whole.rows == len(rows)
    assert found.adds_up
    cost = {n: sum((Decimal(str(row["cost"])) for row in r), Decimal()) for n, r in expected.items()}
    assert {name: part.cost for name, part in found.parts.items()} == cost

    publishes_its_own_rows(Platform(deployment, registry), expected)


def publishes_its_own_rows(platform: Platform, expected: dict[str, list[dict[str, Any]]]) -> None:
    for tenant_id in ("rockets", "sky", "control"):
        (report,) = platform.run(tenant_id, [DAY], "gcp_cost_line_items").values()
        own = [row for row in expected[tenant_id] if local_day(row) == DAY]
        assert report.published == {DAY: len(own)}, [c.name for c in report.outcomes if not c.passed]
        where = f"WHERE usage_date = DATE '{DAY}'"
        (published,) = platform.rows(
            f"SELECT COUNT(*) AS n, SUM(cost) AS cost FROM {tenant_id}.gcp_cost_line_items {where}"
        )
        assert published == {"n": len(own), "cost": sum((Decimal(str(row["cost"])) for row in own), Decimal())}


@pytest.mark.peer
def test_a_tenant_with_an_account_of_its_own_reads_its_rows_by_a_view(tmp_path: Path, peer: Peer) -> None:
    account = "service_account: 'convergence-{tenant}@our-project.iam.gserviceaccount.com'\n"
    context = LoadContext(own_project=PROJECT, has_accounts=True)
    registry = load(write(tmp_path, SHARES, ["rockets", "sky", "control"], account), context=context)
    deployment = peer.settings(tmp_path / "home")
    rows = loaded(deployment, registry, bills(tmp_path))
    expected = {name: [row for row in rows if owner_of(row) == name] for name in ("rockets", "sky", "control")}
    publishes_its_own_rows(Platform(deployment, registry), expected)
    rockets = registry.tenants["rockets"]
    step = rockets.pipelines[0].steps[0]
    (query,) = queries_of(rockets, step, Window.local(DAY, DAY, rockets.timezone))
    (view,) = shared_views(rockets, step.sources.values())
    assert view.view.quoted in query.sql
    assert view.source.quoted not in query.sql, "what it reads is the view alone"


def test_another_share_or_column_is_read_by_another_view(tmp_path: Path) -> None:
    def view(shares: dict[str, Any], *, has_accounts: bool = True) -> str | None:
        account = "service_account: 'convergence-{tenant}@our-project.iam.gserviceaccount.com'\n"
        context = LoadContext(own_project="our-project", has_accounts=has_accounts)
        sky = load(write(tmp_path, shares, ["sky"], account), context=context).tenants["sky"]
        return next((str(found.view) for found in shared_views(sky, sky.sources)), None)

    before = view(SHARES)
    assert before is not None
    assert before.startswith("_shared_sky.gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C__")
    assert view(SHARES) == before
    assert view(SHARES | {"sky": {"labels": {"env": "test"}}}) != before
    assert view(SHARES, has_accounts=False) is None, "the embedded warehouse has no accounts to keep out"


def test_a_tenant_that_has_no_share_is_refused_at_its_line(tmp_path: Path) -> None:
    registry = load(write(tmp_path, SHARES, ["rockets", "other"]))
    assert set(registry.tenants) == {"rockets"}
    (problem,) = registry.rejected["other"].problems
    assert (problem.line, problem.key) == (7, "pipelines[0].with.export_table")
    assert "is shared out, and no row of it is this tenant's" in problem.message


def test_a_shared_source_is_nobodys_and_one_tenant_may_be_given_all_of_it(tmp_path: Path) -> None:
    root = write(tmp_path, SHARES, ["rockets", "sky", "finance"], f"access: {{finance: {{tables: [{EXPORT}]}}}}\n")
    registry = load(root)
    assert not registry.problems, [p.render() for p in registry.problems]
    assert not registry.owners
    assert registry.tenants["finance"].shares == {}
    assert EXPORT in registry.tenants["sky"].shares


def test_a_table_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    root = write(tmp_path, SHARES, ["rockets"])
    file = root / "rockets" / "tenant.yaml"
    file.write_text(file.read_text().replace(EXPORT, f"our-project.{EXPORT}"))
    registry = load(root, context=LoadContext(own_project="our-project"))
    assert registry.tenants["rockets"].shares.keys() == {f"our-project.{EXPORT}"}
    elsewhere = load(root, context=LoadContext(own_project="other-project"))
    assert elsewhere.tenants["rockets"].shares == {}


def test_another_share_is_another_definition(tmp_path: Path) -> None:
    one = load(write(tmp_path, SHARES, ["sky"])).tenants["sky"].pipelines[0].steps
    other = (
        load(write(tmp_path, SHARES | {"sky": {"labels": {"env": "test"}}}, ["sky"])).tenants["sky"].pipelines[0].steps
    )
    assert one[0].definition_hash != other[0].definition_hash


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"sky": {}}, "no rows are named"), ({"_rest": "sky"}, "_rest: sky; expected operator"),
        ({"sky": {"projects": ["a\x00"]}}, "control character"), ({"sky": {"project": ["a"]}}, "did you mean 'projects'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_shares_is_the_operators_at_its_line(
    tmp_path: Path, shares: dict[str, Any], message: str
) -> None:
    registry = load(write(tmp_path, shares, ["sky"]))
    assert not registry.tenants
    assert any(
        message in problem.render() and problem.file.endswith("_defaults.yaml") for problem in registry.problems
    ), [problem.render() for problem in registry.problems]


def test_the_command_shows_whose_every_row_is(tmp_path: Path, registry: TenantRegistry) -> None:
    home = Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_WAREHOUSE": "embedded"})
    rows = loaded(home, registry, bills(tmp_path))
    environ = clean_environment() | {
        "CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tmp_path / "tenants"),
    }  # fmt: skip
    done = commands.convergence("shares", "--from", "2026-09-01", "--to", "2026-12-01", "--json", environ=environ)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert (counts["adds_up"], counts["rows"]) == (True, len(rows))
    assert sum(part["rows"] for part in counts["parts"].values()) == len(rows)
    shown = commands.convergence("shares", "--from", "2026-09-01", "--to", "2026-12-01", environ=environ).stdout
    assert "the rest" in shown


_NAMES = st.text(alphabet="ab-*", min_size=1, max_size=4)
_SHARES = st.builds(
    lambda projects, labels: Share(projects=tuple(projects), labels=labels),
    st.lists(_NAMES, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["v", "w*"]), max_size=2),
)
_ROWS = st.lists(
    st.tuples(
        st.none() | st.text(alphabet="ab-", max_size=4),
        st.lists(st.tuples(st.sampled_from(["k", "l"]), st.none() | st.sampled_from(["v", "w", "wx"])), max_size=3),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.property
@settings(max_examples=examples(40), deadline=None)
@given(st.dictionaries(st.sampled_from(["one", "two", "six"]), _SHARES, min_size=1), _ROWS)
def test_whatever_the_shares_a_row_is_in_exactly_one_part(
    tmp_path_factory: pytest.TempPathFactory, shares: dict[str, Share], rows: list[tuple[Any, ...]]
) -> None:
    shared = SharedSource("a.b", shares)
    parts = ", ".join(f"IF({shared.condition(owner)}, 1, 0)" for owner in [*shares, REST])
    structs = ", ".join(
        "STRUCT(STRUCT({} AS id) AS project, {} AS labels)".format(
            "CAST(NULL AS STRING)" if project is None else f"'{project}'",
            "[" + ", ".join(
                f"STRUCT('{k}' AS key, {'CAST(NULL AS STRING)' if v is None else repr(v)} AS value)" for k, v in labels
            ) + "]" if labels else "CAST([] AS ARRAY<STRUCT<key STRING, value STRING>>)",
        )
        for project, labels in rows
    )  # fmt: skip
    with DuckDBWarehouse(tmp_path_factory.mktemp("shares")) as warehouse:
        found = warehouse.read(
            Query(
                f"SELECT [{parts}] AS parts FROM (SELECT t.project AS project, t.labels AS labels FROM UNNEST([{structs}]) AS t)"
            ),
            Job("r"),
        ).to_pylist()
    assert all(sum(row["parts"]) == 1 for row in found)
