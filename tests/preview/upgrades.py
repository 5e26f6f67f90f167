"""A tenant whose table `lines` gets another version, and what is asked of it."""

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.publications import Publication, Publications, publications_of
from convergence_assets.control.store import ControlStore
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import TenantPipeline
from convergence_assets.tenant_lifecycle.missing_inputs import RunOutcome
from convergence_assets.tenant_lifecycle.table_versions import TableVersion, table_version
from convergence_assets.tenant_lifecycle.upgrading import Upgrade
from tests.preview.fleet import DAYS, Fleet

COSTS = "acme/pipelines/costs"
PIPELINE, SQL = f"{COSTS}/pipeline.yaml", f"{COSTS}/lines.sql"
REGION = "{name: region, type: STRING}\n      - {name: cost, type: NUMERIC}\n      - {name: currency, type: STRING}\n  - kind"


def upgrade(fleet: Fleet, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    table = ("--table", "lines") if {"--rollback", "--drop-former"}.intersection(words) else ()
    code, out, err = fleet.command("upgrade", "acme", "--json", *words, *table)
    return code, [json.loads(line) for line in out.splitlines()], err


def declare(fleet: Fleet, version: int, before: int = 1) -> None:
    """Another version of `lines`."""
    stood = f"    table: lines\n    version: {before}\n" if before > 1 else "    table: lines\n"
    fleet.edit(PIPELINE, stood, "    table: lines\n" + (f"    version: {version}\n" if version > 1 else ""))


def rename(fleet: Fleet, version: int = 2) -> None:
    """`region` becomes `area`, under another version."""
    fleet.edit(PIPELINE, REGION, REGION.replace("name: region", "name: area"))
    fleet.edit(SQL, "    region,\n", "    region AS area,\n")
    if version > 1:
        declare(fleet, version)


def rename_back(fleet: Fleet, version: int = 2) -> None:
    """The files as they were."""
    fleet.edit(PIPELINE, REGION.replace("name: region", "name: area"), REGION)
    fleet.edit(SQL, "    region AS area,\n", "    region,\n")
    declare(fleet, 1, version)


def columns(fleet: Fleet, table: str = "lines") -> list[str]:
    return list(fleet.read(f"SELECT * FROM acme.{table} WHERE day >= '2026-01-01' LIMIT 1")[0])


def total(fleet: Fleet, table: str = "lines") -> tuple[int, object]:
    (row,) = fleet.read(f"SELECT COUNT(*) AS n, SUM(cost) AS total FROM acme.{table} WHERE day >= '2026-01-01'")
    return row["n"], row["total"]


def rows_of(fleet: Fleet, day: date, table: str = "lines") -> int:
    (row,) = fleet.read(f"SELECT COUNT(*) AS n FROM acme.{table} WHERE day = '{day}'")
    return int(row["n"])


def recorded(fleet: Fleet, table: str = "lines") -> dict[date, Publication]:
    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.read() as connection:
        return {one.day: one for one in publications_of(connection, "acme") if one.table == table}


def publish_without_run(fleet: Fleet, day: date, rows: int) -> None:
    """A publication of `lines` as a release before versions recorded it."""
    store = ControlStore.open(fleet.settings, fleet.variables)
    publications = Publications(store)
    through = publications.newest_version()
    publications.record("acme", "costs", "lines", {day: rows}, run_id="before", read_through=through)


def requested(fleet: Fleet) -> dict[date, str]:
    from convergence_assets.control.partition_states import all_outstanding

    store = ControlStore.open(fleet.settings, fleet.variables)
    with store.read() as connection:
        return {row.day: row.reason for row in all_outstanding(connection, "acme")}


def is_upgraded(fleet: Fleet) -> bool:
    """Whether all of the new version is in its place, its records with it."""
    return "area" in columns(fleet) and recorded(fleet).keys() == set(DAYS) and not recorded(fleet, "lines__v2")


def _no_run(pipeline: TenantPipeline, tables: Collection[str], first: date, last: date) -> RunOutcome:
    raise AssertionError(f"{tables} are published")


@contextmanager
def opened(
    fleet: Fleet, *accepted: str, gap: bool = False, table: str = "lines"
) -> Iterator[tuple[Upgrade, TableVersion]]:
    """An upgrade of a table in this process."""
    settings = fleet.settings
    tenant = load_tenants(settings).tenants["acme"]
    session = LockSession(ControlStore.open(settings, fleet.variables))
    with open_warehouse(settings) as warehouse:
        pipeline = tenant.pipelines[0]
        step = next(step for step in pipeline.steps if step.table == table)
        found = table_version(session.store, warehouse, tenant, pipeline, step)
        assert found
        yield (
            Upgrade(
                settings,
                warehouse,
                session,
                tenant,
                lambda run_id: False,
                "test",
                _no_run,
                accepted=accepted,
                accept_gap=gap,
            ),
            found,
        )
    session.close()


def keep_files(fleet: Fleet) -> None:
    """Keep the files as they are, for runs of a deployment that has not got the new ones."""
    shutil.copytree(fleet.folder / "tenants", fleet.folder / "former")
