"""`convergence tenants onboard` where a step fails or it is killed: what is taken back, and how it goes on."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import audit as AUDIT
from convergence_assets.settings import Settings
from convergence_assets.warehouse.duckdb.adapter import DuckDBWarehouse
from convergence_assets.warehouse.schema import Column, Dataset, TableRef, TableSchema
from tests.cli.onboarding import HOOLI, TABLES, Convergence, onboarded, tree

ROOT = Path(__file__).parents[2]


def test_where_no_table_can_be_made_nothing_is_left(convergence: Convergence, tmp_path: Path) -> None:
    before = tree(tmp_path / "tenants")
    dataset = tmp_path / "home" / "warehouse" / "datasets" / "hooli.duckdb"
    dataset.parent.mkdir(parents=True)
    dataset.write_bytes(b"no database of ours" * 1000)
    failed = onboarded(convergence)
    assert (failed["code"], failed["outcome"], failed["left"]) == (1, "failed", [])
    assert failed["undone"] == [f"removed {tmp_path}/tenants/hooli/tenant.yaml"]
    assert tree(tmp_path / "tenants") == before
    assert not (tmp_path / "tenants" / "hooli").exists()
    dataset.unlink()
    assert onboarded(convergence)["outcome"] == "onboarded"


def test_what_was_made_is_dropped_and_what_stood_before_is_left_as_it_is(
    convergence: Convergence, tmp_path: Path
) -> None:
    other = TableSchema((Column("x", "STRING"),))
    with DuckDBWarehouse(tmp_path / "home" / "warehouse") as warehouse:
        warehouse.ensure_table(TableRef("hooli", "gcp_focus"), other)
    failed = onboarded(convergence)
    assert (failed["code"], failed["outcome"]) == (1, "failed")
    assert "making table hooli.gcp_focus failed (schema_mismatch)" in failed["failure"]
    assert not (tmp_path / "tenants" / "hooli").exists()
    assert failed["left"] == []
    assert failed["undone"][1:] == [
        "dropped tables hooli.gcp_cost_line_items, hooli.gcp_cost_daily, "
        "hooli.gcp_commitment_fees, hooli.gcp_commitments, hooli.gcp_charges"
    ]
    with DuckDBWarehouse(tmp_path / "home" / "warehouse") as warehouse:
        assert warehouse.tables_of(Dataset("hooli")) == [TableRef("hooli", "gcp_focus")]


def test_where_no_key_can_be_made_the_file_is_taken_back_and_the_same_command_goes_on_later(
    convergence: Convergence, tmp_path: Path
) -> None:
    blocking = tmp_path / "home" / "control.db"
    blocking.mkdir(parents=True)
    failed = convergence("tenants", "onboard", *HOOLI, "--yes")
    assert failed.returncode == 1
    assert "making an API key for hooli failed" in failed.stderr
    assert f"taken back: removed {tmp_path}/tenants/hooli/tenant.yaml" in failed.stderr
    assert "taken back: dropped tables hooli.gcp_cost_line_items, " in failed.stderr
    assert "taken back: dropped dataset hooli" in failed.stderr
    assert "nothing is left of it" in failed.stderr
    assert not (tmp_path / "tenants" / "hooli").exists()
    blocking.rmdir()
    again = onboarded(convergence)
    assert again["outcome"] == "onboarded"
    assert len([what for what in again["done"] if "made table" in what]) == len(TABLES)


def test_a_key_that_was_made_is_revoked_and_the_next_attempt_makes_another(
    convergence: Convergence, tmp_path: Path
) -> None:
    ControlStore.open(Settings.from_env({"CONVERGENCE_HOME": str(tmp_path / "home")}))
    with closing(sqlite3.connect(tmp_path / "home" / "control.db")) as store:
        store.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON {AUDIT.name} WHEN NEW.action = 'tenant.onboard' "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        store.commit()
    failed = onboarded(convergence)
    assert (failed["code"], failed["outcome"]) == (1, "failed")
    assert failed["failure"].startswith("writing the audit log failed")
    assert failed["undone"][0] == f"removed {tmp_path}/tenants/hooli/tenant.yaml"
    assert failed["undone"][1].startswith("revoked API key key_")
    assert failed["undone"][-1] == "dropped dataset hooli"
    with closing(sqlite3.connect(tmp_path / "home" / "control.db")) as store:
        store.execute("DROP TRIGGER full")
        store.commit()
    again = onboarded(convergence)
    assert (again["outcome"], bool(again["api_key"])) == ("onboarded", True)
    (active,) = [key for key in map(json.loads, convergence("keys", "list", "--json").stdout.splitlines())
                 if key["state"] == "active"]  # fmt: skip
    convergence("keys", "revoke", active["key_id"])
    assert onboarded(convergence)["outcome"] == "unchanged", "keys that were revoked on purpose are not made anew"


@pytest.mark.live
def test_of_two_at_once_one_is_made_and_the_other_takes_nothing_of_it_away(
    environ: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", *HOOLI, "--yes"]
    both = [
        subprocess.Popen([*command, "--schedule", f"{minute} 6 * * *"], env=environ, cwd=ROOT, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
        for minute in (10, 20)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=120) for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], outputs
    winner = (10, 20)[codes.index(0)]
    assert f'schedule: "{winner} 6 * * *"' in (tmp_path / "tenants" / "hooli" / "tenant.yaml").read_text()


def test_killed_half_way_the_same_command_brings_it_to_its_end(
    convergence: Convergence, environ: dict[str, str], tmp_path: Path
) -> None:
    # Of the lowest priority, so that this test is not the slower of the two where others work beside it.
    command = ["nice", "-n", "19", sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", *HOOLI]
    command.append("--yes")
    process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    file = tmp_path / "tenants" / "hooli" / "tenant.yaml"
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = onboarded(convergence)
    assert again["outcome"] == "onboarded"
    assert again["api_key"]
    assert json.loads(convergence("tenants", "show", "hooli", "--json").stdout)["status"] == "served"


def test_an_interrupted_one_takes_back_what_it_made(environ: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "convergence_assets.cli.main", "tenants", "onboard", *HOOLI, "--yes"]
    process = subprocess.Popen(
        command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    file = tmp_path / "tenants" / "hooli" / "tenant.yaml"
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, output = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not file.parent.exists(), output
