"""What a failed onboarding takes back, and what the end of a tenant's data leaves."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.alerting import kinds
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import audit, incidents, partition_states, publications
from convergence_assets.control.keys import Keys
from convergence_assets.control.ledger_rows import LedgerRow, put_rows, tenant_queues
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.tables import TABLES
from convergence_assets.ledger.write import write_ledger
from convergence_assets.settings import Settings
from convergence_assets.tenant_lifecycle.offboarding import RunsAtWork, delete_data
from convergence_assets.tenant_lifecycle.onboarding import Onboarding, OnboardingFailed, plan
from convergence_assets.tenant_lifecycle.onboarding_apply import apply
from convergence_assets.tenant_lifecycle.onboarding_request import TenantSettings
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Column, Dataset, TableRef, TableSchema
from tests.assets.project import Project, hourly

KEYS_TABLE = "x_meta_api_keys"
EXPORT = "hooli_export.gcp_billing_export_resource_v1_01A2B3_C4D5E6_F7A8B9"
WANTED = TenantSettings(
    "hooli", "Hooli", "UTC", ("gcp_billing",), {"gcp_billing": {"export_table": EXPORT}}, date(2026, 10, 1)
)
DAY = date(2026, 3, 10)
KEY = {
    "key_id": "k", "tenant_id": "hooli", "key_prefix": "p", "scopes": "read", "is_active": True, "created_by": "anna",
    "expires_at": "2026-12-30T09:00:00Z", "last_used_at": None, "revoked_at": None,
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    tenants = tmp_path / "tenants"
    tenants.mkdir()
    (tenants / "_defaults.yaml").write_bytes((Path(__file__).parents[2] / "tenants" / "_defaults.yaml").read_bytes())
    return Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home"), "CONVERGENCE_TENANTS": str(tenants)})


def planned(settings: Settings) -> Onboarding:
    return plan(WANTED, settings, datetime.now(UTC))


def tables(settings: Settings, dataset: str = "hooli") -> list[str]:
    with open_warehouse(settings) as warehouse:
        return [table.table for table in warehouse.tables_of(Dataset(dataset))]


def test_every_table_that_it_made_and_its_dataset_are_dropped(settings: Settings) -> None:
    def tell(message: str) -> None:
        if message == f"made table hooli.{KEYS_TABLE}":
            raise RuntimeError("that is enough")

    with pytest.raises(OnboardingFailed) as failed:
        apply(planned(settings), settings, "anna", tell, "10.0.0.1")
    assert (failed.value.undone[0], failed.value.undone[-1]) == (
        f"removed {settings.tenants}/hooli/tenant.yaml", "dropped dataset hooli"
    )  # fmt: skip
    assert failed.value.left == ()
    with open_warehouse(settings) as warehouse:
        assert not warehouse.has_dataset(Dataset("hooli"))
    store = ControlStore.open(settings)
    with store.read() as connection:
        (noted,) = audit.recorded_entries(connection, "hooli")
    assert (noted.entry.actor, noted.entry.action, noted.entry.outcome, noted.entry.address) == (
        "anna", "tenant.onboard", f"failed: making table hooli.{KEYS_TABLE}", "10.0.0.1"
    )  # fmt: skip


def test_what_stood_before_stays_with_its_rows_or_without(settings: Settings) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.ensure_table(TableRef("hooli", "gcp_focus"), TableSchema((Column("x", "STRING"),)))
        warehouse.ensure_table(TableRef("hooli", "theirs"), TableSchema((Column("x", "STRING"),)))
    with pytest.raises(OnboardingFailed, match=r"gcp_focus failed \(schema_mismatch\)") as failed:
        apply(planned(settings), settings, "anna", lambda message: None)
    assert failed.value.undone[1:] == (
        "dropped tables hooli.gcp_cost_line_items, hooli.gcp_cost_daily, "
        "hooli.gcp_commitment_fees, hooli.gcp_commitments, hooli.gcp_charges",
    )
    assert failed.value.left == ()
    assert tables(settings) == ["gcp_focus", "theirs"]


def test_a_table_that_somebody_has_written_to_meanwhile_stays_and_is_named(settings: Settings) -> None:
    table = TABLES[KEYS_TABLE]
    row = KEY | {"created_at": datetime.now(UTC)}

    def write_a_row() -> None:
        with open_warehouse(settings) as warehouse:
            warehouse.merge_rows(TableRef("hooli", KEYS_TABLE), table.schema, [row], table.key, Job("test"))

    def tell(message: str) -> None:
        if message.startswith("made API key"):  # the step after the tables
            write_a_row()
            raise RuntimeError("that is enough")

    with pytest.raises(OnboardingFailed) as failed:
        apply(planned(settings), settings, "anna", tell)
    (left,) = failed.value.left
    assert left.startswith(f"tables hooli.{KEYS_TABLE}, which hold rows by now")
    assert f'DROP TABLE "{KEYS_TABLE}";' in left
    assert tables(settings) == [KEYS_TABLE]
    assert apply(planned(settings), settings, "anna", lambda message: None).secret


def published(project: Project) -> ControlStore:
    """A day of the tenant's, and what a failed run would have left in staging."""
    project.load_bills(hourly(DAY, project.tenant.timezone, 1.0))
    project.run(DAY)
    with open_warehouse(project.settings) as warehouse:
        warehouse.ensure_table(TableRef("globex", "costs"), TableSchema((Column("x", "STRING"),)))
    return ControlStore.open(project.settings)


def test_the_end_of_a_tenants_data_leaves_nothing_of_it_and_all_of_others(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    store = published(project)
    staged = tmp_path / "warehouse" / "staging" / "_staging_acme" / "left.duckdb"
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.write_bytes(b"")
    with dg.DagsterInstance.ephemeral() as instance:
        deleted = delete_data(project.settings, instance, project.tenant)
        assert {table.table for table in deleted.tables} >= {"lines", "totals"}
        assert (deleted.staged, deleted.dataset) == (1, True)
        again = delete_data(project.settings, instance, project.tenant)
    assert (again.tables, again.staged, again.dataset) == ((), 0, False)
    assert tables(project.settings, "globex") == ["costs"]
    assert tables(project.settings, "acme_export"), "what it reads is not its own"
    with store.read() as connection:
        assert not publications.between(connection, "acme", ["lines", "totals"], DAY, DAY)
        assert not partition_states.all_outstanding(connection, "acme")
        noted = [one.entry.outcome for one in audit.recorded_entries(connection, "acme")]
    assert noted[1] == "deleted 2 tables of dataset acme and the dataset"
    project.load_bills(hourly(DAY, project.tenant.timezone, 1.0))
    project.run(DAY, run_id="run2")
    assert len(project.read("SELECT * FROM acme.totals")) == 1, "a tenant that comes back begins anew"


def test_with_a_tenants_data_its_keys_and_its_open_incidents_end(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    store = published(project)
    keys = Keys(store)
    own, other = keys.create("acme", "anna").secret, keys.create("globex", "anna").secret
    with store.write() as connection:
        for tenant_id in ("acme", "globex"):
            alert = kinds.NO_DATA.alert("no rows", "no_data", tenant_id=tenant_id, table="lines", partition=str(DAY))
            incidents.raise_alert(connection, alert, store.now())
    with dg.DagsterInstance.ephemeral() as instance:
        delete_data(project.settings, instance, project.tenant)
    assert [keys.verify(own), keys.verify(other) is not None] == [None, True]
    with store.read() as connection:
        assert [incident.tenant_id for incident in incidents.open_incidents(connection)] == ["globex"]


def test_nothing_is_deleted_while_a_run_is_at_work_or_waits(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    store = published(project)
    lock = Locks(store).acquire(Claim("acme", "demo_costs", DAY, DAY), "at-work")
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(RunsAtWork, match="at-work"):
            delete_data(project.settings, instance, project.tenant)
        Locks(store).release([lock.fence])
        queued = instance.create_run_for_job(
            dg.GraphDefinition("nothing").to_job(), tags={"tenant": "acme", "pipeline": "demo_costs"},
        )  # fmt: skip
        with pytest.raises(RunsAtWork, match=queued.run_id):
            delete_data(project.settings, instance, project.tenant)
    assert len(project.read("SELECT * FROM acme.totals")) == 1


def test_what_is_told_of_a_deleted_tenant_makes_no_table_again(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    store = published(project)
    ended = replace(project.tenant, enabled=False)
    key_row = KEY | {"tenant_id": "acme", "created_at": "2026-03-10T00:00:00Z"}
    row = LedgerRow("acme", KEYS_TABLE, "k", key_row)
    opening = partial(open_warehouse, project.settings)
    for tenant, kept in ((project.tenant, True), (ended, False)):
        with dg.DagsterInstance.ephemeral() as instance:
            delete_data(project.settings, instance, project.tenant)
        with store.write() as connection:
            put_rows(connection, [row], store.now())
        assert not write_ledger(store, opening, {"acme": tenant}, 30).failed
        with store.read() as connection:
            assert not tenant_queues(connection)
        assert bool(tables(project.settings, "acme")) is kept
