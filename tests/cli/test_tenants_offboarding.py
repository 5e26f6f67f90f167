"""`convergence tenants offboard`: what it writes, what stays, and when data is deleted."""

import json
from datetime import date
from pathlib import Path

from convergence_assets.control.audit import recorded_entries
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
from tests.cli.onboarding import TABLES, Convergence, onboarded, tree
from tests.unprivileged import as_anybody


def test_an_end_that_cannot_be_written_is_handed_out_as_well(convergence: Convergence, tenants: Path) -> None:
    folder = tenants / "acme"
    before = (folder / "tenant.yaml").read_text()
    folder.chmod(0o555)
    done = convergence("tenants", "offboard", "acme", first=as_anybody)
    folder.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert "Nothing was changed. Next: commit this file there." in done.stderr
    assert "enabled: false # offboarded" in done.stdout
    assert (folder / "tenant.yaml").read_text() == before


def test_offboarding_keeps_the_files_remarks_and_order(convergence: Convergence, tenants: Path) -> None:
    file = tenants / "acme" / "tenant.yaml"
    before = file.read_text().splitlines()
    assert convergence("tenants", "offboard", "acme").returncode == 0
    after = file.read_text().splitlines()
    assert [line for line in after if not line.startswith("enabled:")] == before
    assert after[3].startswith("enabled: false # offboarded ")
    again = convergence("tenants", "offboard", "acme")
    assert (again.returncode, "disabled already: nothing was changed" in again.stdout) == (0, True)
    assert file.read_text().splitlines() == after


def test_data_is_deleted_only_where_it_is_said_twice_and_nothing_may_ask_for_its_days(
    convergence: Convergence, tenants: Path, tmp_path: Path
) -> None:
    onboarded(convergence)
    twice = ("tenants", "offboard", "hooli", "--delete-data", "--yes-delete-data-of", "hooli")
    dataset, before = tmp_path / "home" / "warehouse" / "datasets" / "hooli.duckdb", tree(tenants)
    for words in (("--delete-data",), ("--yes-delete-data-of", "hooli"), (*twice[3:5], "x")):
        once = convergence("tenants", "offboard", "hooli", *words)
        text = " ".join(once.stderr.replace("│", " ").split())
        assert (once.returncode, "say both --delete-data and --yes-delete-data-of hooli" in text) == (2, True)
    assert tree(tenants) == before
    disabled = convergence(*twice)
    assert disabled.returncode == 1, disabled.stderr
    assert "next: its data is not deleted yet: reload the code location" in disabled.stdout
    assert dataset.exists()
    deleted = convergence(*twice, "--json")
    assert deleted.returncode == 0, deleted.stderr
    printed = json.loads(deleted.stdout)
    assert (printed["outcome"], set(printed["tables"])) == ("deleted", {f"hooli.{table}" for table in TABLES})
    assert not dataset.exists()
    again = convergence(*twice)
    assert (again.returncode, "no table of it was there" in again.stdout) == (0, True)
    store = ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")}))
    with store.read() as connection:
        actions = [entry.entry.action for entry in recorded_entries(connection, "hooli")]
    assert actions[:4] == ["tenant.delete_data", "tenant.delete_data", "key.revoke", "tenant.offboard"]


def test_data_is_not_deleted_while_a_run_is_at_work_and_the_tenant_stays_as_it_is(
    convergence: Convergence, tenants: Path, tmp_path: Path
) -> None:
    store, before = ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")})), tree(tenants)
    day = date(2026, 10, 1)
    Locks(store).acquire(Claim("acme", "gcp_billing", day, day), "a-run-at-work")
    refused = convergence("tenants", "offboard", "acme", "--delete-data", "--yes-delete-data-of", "acme")
    assert refused.returncode == 1
    assert "runs of tenant acme are not over (a-run-at-work); nothing was deleted" in refused.stderr
    assert tree(tenants) == before
