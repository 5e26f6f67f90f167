"""The tenants that the API serves: loaded again when their files have changed."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from convergence_assets.scheduling.targets import Target, targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

LOOKED_AT_EVERY_SECONDS = 15.0
REMOTE_EVERY_SECONDS = 300.0
"""A folder in an object store is read whole to see whether it has changed."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedTenants:
    """One load of the tenants' files."""

    registry: TenantRegistry

    @cached_property
    def _targets(self) -> Mapping[str, list[Target]]:
        by_tenant: dict[str, list[Target]] = {}
        for target in targets_of(self.registry.tenants.values()):
            by_tenant.setdefault(target.tenant_id, []).append(target)
        return by_tenant

    def tenant(self, tenant_id: str) -> Tenant | None:
        return self.registry.tenants.get(tenant_id)

    def targets(self, tenant_id: str) -> list[Target]:
        """The tenant's pipelines as the planner sees them; none where it is not enabled."""
        return self._targets.get(tenant_id, [])

    def target(self, tenant_id: str, pipeline: str) -> Target | None:
        return next((target for target in self.targets(tenant_id) if target.pipeline == pipeline), None)


class Served:
    """The newest load that succeeded; looking again never makes a request wait."""

    def __init__(self, settings: Settings, load: Callable[[Settings], TenantRegistry] = load_tenants) -> None:
        """Raises `UnreadableFolder` where the tenants' folder cannot be read."""
        self._settings = settings
        self._load = load
        self._looking = threading.Lock()
        self._mark = _mark(settings.tenants)
        self._loaded = LoadedTenants(load(settings))
        self._looked_at = time.monotonic()

    def loaded(self) -> LoadedTenants:
        """What was loaded last; checks in the background whether the files have changed."""
        if time.monotonic() - self._looked_at > LOOKED_AT_EVERY_SECONDS and self._looking.acquire(blocking=False):
            threading.Thread(target=self._look, name="tenants", daemon=True).start()
        return self._loaded

    def refresh(self) -> LoadedTenants:
        """Read the files now. Raises `UnreadableFolder`."""
        with self._looking:
            mark = _mark(self._settings.tenants)
            self._loaded, self._mark, self._looked_at = (
                LoadedTenants(self._load(self._settings)),
                mark,
                time.monotonic(),
            )
        return self._loaded

    def _look(self) -> None:
        try:
            mark = _mark(self._settings.tenants)
            if mark != self._mark:
                self._loaded, self._mark = LoadedTenants(self._load(self._settings)), mark
        except Exception as error:
            _log.error("the tenants' files cannot be read, the API goes on with those it has: %s", error)
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()


def _mark(tenants: str) -> str:
    """Differs where the files do; the day counts too, since tenants are built as of today."""
    day = time.time() // 86400
    if "://" in tenants:
        return f"{day}/{time.monotonic() // REMOTE_EVERY_SECONDS}"
    digest = hashlib.blake2b(str(day).encode(), digest_size=16)
    for folder, folders, files in os.walk(Path(tenants)):
        folders.sort()
        for file in sorted(files):
            status = os.stat(os.path.join(folder, file))
            digest.update(f"{folder}/{file}/{status.st_mtime_ns}/{status.st_size}".encode())
    return digest.hexdigest()
