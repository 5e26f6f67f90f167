"""A preview that is ended leaves nothing staged, or what the sensor `staging` removes."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from convergence_assets.control.store import ControlStore
from convergence_assets.monitoring.sweeping import UNKNOWN_FOR, Sweeper
from convergence_assets.preview.fleet import Fleet as PreviewedFleet
from convergence_assets.preview.tenant_run import RUN_PREFIX, BytesBudget
from convergence_assets.tenancy.registry import load_registry
from tests import commands
from tests.preview.fleet import DAYS, Fleet
from tests.preview.test_preview import ROUNDED, SQL

pytestmark = pytest.mark.live


def _preview_and_end(fleet: Fleet, number: int) -> None:
    """Preview until the first table is staged; there the process gets a signal."""
    os.environ |= fleet.variables
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command does
    tenants = load_registry(str(fleet.folder / "tenants"), None, today=DAYS[-1]).tenants
    with dg.DagsterInstance.get() as instance:
        store = ControlStore.open(fleet.settings)
        previewed = PreviewedFleet(fleet.settings, store, instance, tenants, 3)

        def end(tenant_id: str) -> None:
            (fleet.folder / "staged").write_text("\n".join(fleet.staged()))
            os.kill(os.getpid(), number)

        for _ in previewed.previews(previewed.touched(), BytesBudget(None), end):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_an_ended_preview_has_staged_is_removed(fleet: Fleet, number: int) -> None:
    fleet.edit(SQL, *ROUNDED)
    before = fleet.read("SELECT SUM(cost) AS total FROM acme.lines")
    process = commands.forked(_preview_and_end, fleet, number)
    process.join(60)
    assert process.exitcode
    (staged,) = (fleet.folder / "staged").read_text().splitlines()
    assert staged.startswith(RUN_PREFIX)
    assert fleet.read("SELECT SUM(cost) AS total FROM acme.lines") == before
    if number != signal.SIGKILL:
        assert fleet.staged() == []
        return
    assert fleet.staged() == [staged]
    tenant = load_registry(str(fleet.folder / "tenants"), None, today=DAYS[-1]).tenants["acme"]
    later = datetime.now(UTC) + UNKNOWN_FOR + timedelta(minutes=1)
    with dg.DagsterInstance.from_config(str(fleet.folder / "dagster")) as instance:
        for now, left in ((datetime.now(UTC), [staged]), (later, [])):
            store = ControlStore.open(fleet.settings, fleet.variables, lambda now=now: now)  # type: ignore[misc]
            Sweeper(instance, store, fleet.settings).sweep([tenant], 10)
            assert fleet.staged() == left
    assert not list(Path(fleet.settings.warehouse_folder, "staging").rglob("*.wal"))
