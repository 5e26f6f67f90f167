"""`/admin`: tenants, their keys, and open alerts, for who holds the admin key."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query

from convergence_assets.api.access import ADMIN, Admin, Here
from convergence_assets.api.admin_models import (
    Acknowledgement,
    Alert,
    Alerts,
    ExtendedKey,
    Key,
    NewKey,
    Plan,
    TenantDetail,
    TenantKeys,
    TenantPipeline,
    Tenants,
    TenantSummary,
    WantedKey,
)
from convergence_assets.api.errors import Refusal, not_found, responses
from convergence_assets.assets.publish_guard import quota_of
from convergence_assets.control import incidents
from convergence_assets.control.audit import Deed, note
from convergence_assets.control.keys import KeyRevoked
from convergence_assets.control.run_requests import used
from convergence_assets.tenancy import tenant as tenancy
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

admin = APIRouter(prefix="/admin", tags=["admin"])

TenantId = Annotated[str, Path(description="A tenant's id", examples=["acme"])]
KeyId = Annotated[str, Path(description="A key's id", examples=["key_1f0c8d2b9e3a4c5d"])]
Fingerprint = Annotated[str, Path(description="An alert's fingerprint", examples=["3f9a0c1d2e4b5a67"])]
_PLAIN = re.compile(r"[A-Za-z0-9_:.-]{1,128}")


@admin.get("/tenants", responses=responses(), summary="Every tenant")
def tenants(operator: Admin, here: Here) -> Tenants:
    """Served, paused, disabled and rejected ones."""
    registry, keys = here.served.known().registry, here.keys.active()
    return Tenants(tenants=[_summary(registry, tenant_id, keys) for tenant_id in _ids(registry)])


@admin.get("/tenants/{tenant_id}", responses=responses(404), summary="One tenant")
def tenant(tenant_id: TenantId, operator: Admin, here: Here) -> TenantDetail:
    """Its plan and how much of it is used, its pipelines, and why it is rejected where it is."""
    registry = here.served.known().registry
    if tenant_id not in _ids(registry):
        raise not_found()
    found, rejection = registry.tenants.get(tenant_id), registry.rejected.get(tenant_id)
    plan = None
    if found is not None:
        quota = quota_of(found)
        with here.store.read() as connection:
            have = used(connection, [quota], here.store.now())[tenant_id]
        plan = Plan(
            concurrent_runs=quota.concurrent_runs, daily_runs=quota.daily_runs, daily_used=have.daily,
            monthly_runs=quota.monthly_runs, monthly_used=have.monthly,
        )  # fmt: skip
    runs = [_pipeline(found, pipeline) for pipeline in found.pipelines] if found else []
    return TenantDetail(
        **_summary(registry, tenant_id, here.keys.active()).model_dump(),
        dataset=found.dataset if found else None,
        owners=list(found.owners) if found else [],
        config_version=found.config_version if found else None,
        problems=[problem.render() for problem in rejection.problems] if rejection else [],
        plan=plan,
        runs=runs,
    )


@admin.post("/tenants/{tenant_id}/api-keys", status_code=201, responses=responses(400, 404, 413), summary="Make a key")
def make_key(tenant_id: TenantId, operator: Admin, here: Here, wanted: Annotated[WantedKey, Body()]) -> NewKey:
    """Its secret is in this answer and nowhere else."""
    if tenant_id not in _ids(here.served.known().registry):
        raise not_found()
    made = here.keys.create(tenant_id, wanted.created_by, wanted.scopes, wanted.days, operator.address)
    return NewKey(key_id=made.key_id, tenant_id=tenant_id, secret=made.secret, expires_at=made.expires_at)


@admin.get("/tenants/{tenant_id}/api-keys", responses=responses(404), summary="A tenant's keys")
def keys(tenant_id: TenantId, operator: Admin, here: Here) -> TenantKeys:
    """Also those that are over."""
    found = here.keys.all(tenant_id) if _PLAIN.fullmatch(tenant_id) else ()
    if not found and tenant_id not in _ids(here.served.known().registry):
        raise not_found()
    return TenantKeys(keys=[Key.of(key, here.keys.state(key)) for key in found])


@admin.patch("/tenants/{tenant_id}/api-keys/{key_id}", responses=responses(400, 404, 409, 413), summary="Extend a key")
def extend_key(
    tenant_id: TenantId, key_id: KeyId, operator: Admin, here: Here, wanted: Annotated[ExtendedKey, Body()]
) -> Key:
    """Valid for so many days from now; one that has expired is valid again."""
    try:
        found = here.keys.extend(_plain(key_id), wanted.by, wanted.days, _plain(tenant_id), operator.address)
    except KeyRevoked as error:
        raise Refusal(409, "revoked", f"{error}.", "POST …/api-keys makes another one.", run_id=None) from None
    if found is None:
        raise not_found()
    return Key.of(found, here.keys.state(found))


@admin.delete("/tenants/{tenant_id}/api-keys/{key_id}", responses=responses(404), summary="Revoke a key")
def revoke_key(tenant_id: TenantId, key_id: KeyId, operator: Admin, here: Here) -> Key:
    """Refused from its next request on, for ever."""
    found = here.keys.revoke(_plain(key_id), ADMIN, _plain(tenant_id), operator.address)
    if found is None:
        raise not_found()
    return Key.of(found, here.keys.state(found))


@admin.get("/alerts", responses=responses(), summary="What is wrong now")
def alerts(
    operator: Admin, here: Here,
    state: Annotated[Literal["open", "all"], Query(description="`all`: also those that are over")] = "open",
) -> Alerts:  # fmt: skip
    """Every open incident."""
    with here.store.read() as connection:
        found = incidents.open_incidents(connection) if state == "open" else incidents.all_incidents(connection)
    return Alerts(alerts=[Alert.of(incident) for incident in found])


@admin.post("/alerts/{fingerprint}/ack", responses=responses(400, 404, 413), summary="Acknowledge an alert")
def acknowledge(
    fingerprint: Fingerprint, operator: Admin, here: Here, said: Annotated[Acknowledgement | None, Body()] = None
) -> Alert:
    """Somebody sees to it: it is not told of again until it is over."""
    by, now = said.by if said else ADMIN, here.store.now()
    with here.store.write() as connection:
        if not incidents.acknowledge(connection, [_plain(fingerprint)], by, now):
            raise not_found()
        found = next(i for i in incidents.open_incidents(connection) if i.fingerprint == fingerprint)
        deed = Deed(by, "alert.ack", "done", found.tenant_id, fingerprint, operator.address)
        note(connection, deed, now)
    return Alert.of(found)


def _plain(name: str) -> str:
    """A name that can exist."""
    if not _PLAIN.fullmatch(name):
        raise not_found()
    return name


def _ids(registry: TenantRegistry) -> list[str]:
    return sorted({*registry.tenants, *registry.rejected})


def _summary(registry: TenantRegistry, tenant_id: str, keys: dict[str, int]) -> TenantSummary:
    found = registry.tenants.get(tenant_id)
    state: Literal["served", "paused", "disabled", "rejected", "rejected_old_version_served"] = "served"
    if tenant_id in registry.rejected:
        state = "rejected_old_version_served" if found else "rejected"
    elif found is not None and not found.enabled:
        state = "disabled"
    elif found is not None and found.paused:
        state = "paused"
    return TenantSummary(
        tenant_id=tenant_id,
        display_name=found.display_name if found else None,
        state=state,
        timezone=found.timezone if found else None,
        pipelines=len(found.pipelines) if found else 0,
        active_keys=keys.get(tenant_id, 0),
    )


def _pipeline(tenant: Tenant, pipeline: tenancy.TenantPipeline) -> TenantPipeline:
    return TenantPipeline(
        pipeline_id=pipeline.name,
        schedule=pipeline.schedule,
        start_date=pipeline.start_date,
        paused=tenant.paused or pipeline.paused,
        tables=[step.table for step in pipeline.steps],
    )
