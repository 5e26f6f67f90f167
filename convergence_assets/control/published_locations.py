"""Where each tenant's days are published and in which timezone: fixed by its first publish."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from convergence_assets.control import source_owners
from convergence_assets.control.errors import ControlError
from convergence_assets.control.location import control_url
from convergence_assets.control.store import ControlStore, upsert
from convergence_assets.control.tables import places as table
from convergence_assets.settings import Settings, SettingsError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedLocation:
    """A timezone, and a dataset with its project where that is not the deployment's."""

    timezone: str
    dataset: str

    def __str__(self) -> str:
        return f"timezone {self.timezone}, dataset {self.dataset}"


@dataclass(frozen=True)
class Known:
    """What concerns several tenants: where each has published, and the owner of each source by place."""

    places: Mapping[str, PublishedLocation] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)


def known_locations(settings: Settings) -> Known:
    """From the control store of these settings; empty where there is no store yet, or it does not answer.

    A load of tenants continues without it: each run reads it again.
    """
    try:
        store = _store(settings)
        if store is None:
            return Known()
        with store.read() as connection:
            return Known(all_places(connection), source_owners.all_owners(connection))
    except (ControlError, SettingsError) as error:
        _log.warning("it is not known where tenants have published, and whose their sources are: %s", error)
        return Known()


def keep_owners(settings: Settings, taken: Mapping[str, str], released: Collection[str]) -> None:
    """Store the owners of sources as a load of all tenants decided; without a store the accepted versions decide."""
    try:
        store = _store(settings)
        if store is not None:
            with store.write("source owners") as connection:
                source_owners.write_owners(connection, taken, released, store.now())
    except (ControlError, SettingsError) as error:
        _log.warning("whose the tenants' sources are cannot be kept: %s", error)


def _store(settings: Settings) -> ControlStore | None:
    url = control_url(settings)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return None
    return ControlStore(url)


def all_places(connection: sa.Connection) -> dict[str, PublishedLocation]:
    """By tenant."""
    return {row.tenant_id: PublishedLocation(row.timezone, row.dataset) for row in connection.execute(sa.select(table))}


def place_of(connection: sa.Connection, tenant_id: str) -> PublishedLocation | None:
    """Where a tenant's days are published; None before its first publish."""
    row = connection.execute(sa.select(table).where(table.c.tenant_id == tenant_id)).one_or_none()
    return PublishedLocation(row.timezone, row.dataset) if row else None


def set_location(connection: sa.Connection, tenant_id: str, place: PublishedLocation, now: datetime) -> None:
    """Fix where the tenant's days are published."""
    values = {"timezone": place.timezone, "dataset": place.dataset, "settled_at": now}
    insert = upsert(connection, table).values({"tenant_id": tenant_id} | values)
    connection.execute(insert.on_conflict_do_update(index_elements=["tenant_id"], set_=values))


def delete_location(connection: sa.Connection, tenant_id: str) -> None:
    """Delete the tenant's location, as it has nothing published any more."""
    connection.execute(sa.delete(table).where(table.c.tenant_id == tenant_id))
