"""`/admin`: tenants, their keys, and open alerts, for the holder of the admin key."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query

from convergence_assets.api.access import ADMIN, Admin, DeploymentDep
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
from convergence_assets.control import incidents
from convergence_assets.control.audit import AuditEntry, record_entry
from convergence_assets.control.keys import KeyRevoked
from convergence_assets.control.run_requests import runs_used
from convergence_assets.tenancy import tenant as tenancy
from convergence_assets.tenancy.quota import quota_of
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

admin = APIRouter(prefix="/admin", tags=["admin"])

TenantId = Annotated[str, Path(description="A tenant's id", examples=["acme"])]
KeyId = Annotated[str, Path(description="A key's id", examples=["key_1f0c8d2b9e3a4c5d"])]
Fingerprint = Annotated[str, Path(description="An alert's fingerprint", examples=["3f9a0c1d2e4b5a67"])]
_PLAIN = re.compile(r"[A-Za-z0-9_:.-]{1,128}")


@admin.get("/tenants", responses=responses(), summary="Every tenant")
def tenants(operator: Admin, deployment: DeploymentDep) -> Tenants:
    """Served, paused, disabled and rejected ones."""
    registry, keys = deployment.served.loaded().registry, deployment.keys.active_counts()
    return Tenants(tenants=[_summary(registry, tenant_id, keys) for tenant_id in _ids(registry)])


@admin.get("/tenants/{tenant_id}", responses=responses(404), summary="One tenant")
def tenant(tenant_id: TenantId, operator: Admin, deployment: DeploymentDep) -> TenantDetail:
    """Its plan and how much of it is used, its pipelines, and why it is rejected where it is."""
    registry = deployment.served.loaded().registry
    if tenant_id not in _ids(registry):
        raise not_found()
    served, rejection = registry.tenants.get(tenant_id), registry.rejected.get(tenant_id)
    plan = None
    if served is not None:
        quota = quota_of(served)
        with deployment.store.read() as connection:
            usage = runs_used(connection, [quota], deployment.store.now())[tenant_id]
        plan = Plan(
            concurrent_runs=quota.concurrent_runs, daily_runs=quota.daily_runs, daily_used=usage.daily,
            monthly_runs=quota.monthly_runs, monthly_used=usage.monthly,
        )  # fmt: skip
    runs = [_pipeline(served, pipeline) for pipeline in served.pipelines] if served else []
    return TenantDetail(
        **_summary(registry, tenant_id, deployment.keys.active_counts()).model_dump(),
        dataset=served.dataset if served else None,
        owners=list(served.owners) if served else [],
        config_version=served.config_version if served else None,
        problems=[problem.render() for problem in rejection.problems] if rejection else [],
        plan=plan,
        runs=runs,
    )


@admin.post("/tenants/{tenant_id}/api-keys", status_code=201, responses=responses(400, 404, 413), summary="Make a key")
def make_key(
    tenant_id: TenantId,
    operator: Admin,
    deployment: DeploymentDep,
    body: Annotated[WantedKey | None, Body()] = None,
) -> NewKey:
    """Its secret is in this answer and nowhere else."""
    requested = body or WantedKey(created_by=ADMIN)
    if tenant_id not in _ids(deployment.served.loaded().registry):
        raise not_found()
    key = deployment.keys.create(tenant_id, requested.created_by, requested.scopes, requested.days, operator.address)
    return NewKey(key_id=key.key_id, tenant_id=tenant_id, secret=key.secret, expires_at=key.expires_at)


@admin.get("/tenants/{tenant_id}/api-keys", responses=responses(404), summary="A tenant's keys")
def keys(tenant_id: TenantId, operator: Admin, deployment: DeploymentDep) -> TenantKeys:
    """Also those that are over."""
    existing = deployment.keys.all(tenant_id) if _PLAIN.fullmatch(tenant_id) else ()
    if not existing and tenant_id not in _ids(deployment.served.loaded().registry):
        raise not_found()
    return TenantKeys(keys=[Key.of(key, deployment.keys.state(key)) for key in existing])


@admin.patch("/tenants/{tenant_id}/api-keys/{key_id}", responses=responses(400, 404, 409, 413), summary="Extend a key")
def extend_key(
    tenant_id: TenantId, key_id: KeyId, operator: Admin, deployment: DeploymentDep, body: Annotated[ExtendedKey, Body()]
) -> Key:
    """Valid for this many days from now; one that has expired is valid again."""
    try:
        key = deployment.keys.extend(_plain(key_id), body.by, body.days, _plain(tenant_id), operator.address)
    except KeyRevoked as error:
        raise Refusal(409, "revoked", f"{error}.", "POST …/api-keys makes another one.", run_id=None) from None
    if key is None:
        raise not_found()
    return Key.of(key, deployment.keys.state(key))


@admin.delete("/tenants/{tenant_id}/api-keys/{key_id}", responses=responses(404), summary="Revoke a key")
def revoke_key(tenant_id: TenantId, key_id: KeyId, operator: Admin, deployment: DeploymentDep) -> Key:
    """Refused from its next request on, for ever."""
    key = deployment.keys.revoke(_plain(key_id), ADMIN, _plain(tenant_id), operator.address)
    if key is None:
        raise not_found()
    return Key.of(key, deployment.keys.state(key))


@admin.get("/alerts", responses=responses(), summary="What is wrong now")
def alerts(
    operator: Admin, deployment: DeploymentDep,
    state: Annotated[Literal["open", "all"], Query(description="`all`: also those that are over")] = "open",
) -> Alerts:  # fmt: skip
    """Every open incident."""
    with deployment.store.read() as connection:
        listed = incidents.open_incidents(connection) if state == "open" else incidents.all_incidents(connection)
    return Alerts(alerts=[Alert.of(incident) for incident in listed])


@admin.post("/alerts/{fingerprint}/ack", responses=responses(400, 404, 413), summary="Acknowledge an alert")
def acknowledge(
    fingerprint: Fingerprint,
    operator: Admin,
    deployment: DeploymentDep,
    body: Annotated[Acknowledgement | None, Body()] = None,
) -> Alert:
    """Somebody works on it: no further notification is sent until it is over."""
    by, now = body.by if body else ADMIN, deployment.store.now()
    with deployment.store.write() as connection:
        if not incidents.acknowledge_incidents(connection, [_plain(fingerprint)], by, now):
            raise not_found()
        incident = next(i for i in incidents.open_incidents(connection) if i.fingerprint == fingerprint)
        entry = AuditEntry(by, "alert.ack", "done", incident.tenant_id, fingerprint, operator.address)
        record_entry(connection, entry, now)
    return Alert.of(incident)


def _plain(name: str) -> str:
    """A name that can exist."""
    if not _PLAIN.fullmatch(name):
        raise not_found()
    return name


def _ids(registry: TenantRegistry) -> list[str]:
    return sorted({*registry.tenants, *registry.rejected})


def _summary(registry: TenantRegistry, tenant_id: str, keys: dict[str, int]) -> TenantSummary:
    served = registry.tenants.get(tenant_id)
    state: Literal["served", "paused", "disabled", "rejected", "rejected_old_version_served"] = "served"
    if tenant_id in registry.rejected:
        state = "rejected_old_version_served" if served else "rejected"
    elif served is not None and not served.enabled:
        state = "disabled"
    elif served is not None and served.paused:
        state = "paused"
    return TenantSummary(
        tenant_id=tenant_id,
        display_name=served.display_name if served else None,
        state=state,
        timezone=served.timezone if served else None,
        pipelines=len(served.pipelines) if served else 0,
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
