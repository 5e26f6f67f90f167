"""Authentication: the tenant that a key names, or the platform's operator; and how often they may send requests."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from convergence_assets.api.deployment import Deployment, deployment_of
from convergence_assets.api.errors import Refusal, too_many, unauthorized
from convergence_assets.api.http_metrics import AUTH_FAILURES, RATE_LIMIT_HITS
from convergence_assets.api.rate_limits import Rules, network_of
from convergence_assets.control.audit import UNKNOWN, AuditEntry, record_entry
from convergence_assets.control.keys import Scope

ADMIN = "admin"
_tenant_key = APIKeyHeader(
    name="x-api-key", scheme_name="tenant", auto_error=False, description="A tenant's key: `convergence keys create`"
)
_admin_key = APIKeyHeader(
    name="x-admin-key", scheme_name="admin", auto_error=False, description="The value of CONVERGENCE_ADMIN_KEY"
)


@dataclass(frozen=True)
class Caller:
    """The tenant's key behind a request. `tenant_id` is the only tenant that the request may see or change."""

    tenant_id: str
    key_id: str
    scopes: tuple[str, ...]
    address: str


@dataclass(frozen=True)
class Operator:
    """The holder of the admin key."""

    address: str


def _caller(
    request: Request,
    deployment: Annotated[Deployment, Depends(deployment_of)],
    secret: Annotated[str | None, Security(_tenant_key)],
) -> Caller:
    address = _address(request)
    _refuse_after_failures(deployment, address)
    key, reason = deployment.keys.check_secret(secret) if secret else (None, "missing")
    if key is None:
        raise _record_failure(deployment, address, reason, "key.use", secret)
    request.state.asked_by = {"tenant": key.tenant_id, "key_id": key.key_id}
    _count_request(request, deployment, deployment.limits.tenant, key.tenant_id)
    if deployment.keys.is_use_to_be_noted(key):
        deployment.background.submit(partial(deployment.keys.record_use, key))
    return Caller(key.tenant_id, key.key_id, key.scopes, address)


def _with_scope(scope: Scope) -> Callable[[Caller], Awaitable[Caller]]:
    async def allowed(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
        if scope not in caller.scopes:
            raise Refusal(
                403, "scope_missing", f"This key does not have the scope {scope}.", "Ask for a key that has it."
            )
        return caller

    return allowed


def _operator(
    request: Request,
    deployment: Annotated[Deployment, Depends(deployment_of)],
    secret: Annotated[str | None, Security(_admin_key)],
) -> Operator:
    address = _address(request)
    _refuse_after_failures(deployment, address)
    if not is_secret(secret, deployment.settings.admin_key):
        raise _record_failure(deployment, address, "missing" if not secret else "wrong_admin_key", "admin", secret)
    request.state.asked_by = {"key_id": ADMIN}
    _count_request(request, deployment, deployment.limits.admin, ADMIN)
    return Operator(address)


Reader = Annotated[Caller, Depends(_with_scope("read"))]
Runner = Annotated[Caller, Depends(_with_scope("run"))]
Admin = Annotated[Operator, Depends(_operator)]
DeploymentDep = Annotated[Deployment, Depends(deployment_of)]


def is_secret(secret: str | None, expected: str | None) -> bool:
    """Compare in constant time; False where no secret is expected."""
    # Digests have one length: not even the key's length can be measured.
    is_equal = hmac.compare_digest(_digest(secret or ""), _digest(expected or ""))
    return bool(expected and secret and is_equal)


def _address(request: Request) -> str:
    return network_of(request.client.host if request.client else None)


def _refuse_after_failures(deployment: Deployment, address: str) -> None:
    """Refuse an address that failed too often before checking its key: the answer would tell whether it is right."""
    status = deployment.limits.status(deployment.limits.failures, address)
    if not status.allowed:
        AUTH_FAILURES.labels("too_many").inc()
        raise too_many("too_many_failures", "Too many requests without a valid key.", status.reset_seconds)


def _record_failure(deployment: Deployment, address: str, reason: str, action: str, secret: str | None) -> Refusal:
    AUTH_FAILURES.labels(reason).inc()
    if secret:  # a request without a key is no guess
        deployment.limits.hit(deployment.limits.failures, address)
        entry = AuditEntry(UNKNOWN, action, f"refused: {reason}", address=address)
        deployment.background.submit(partial(_write_audit_entry, deployment, entry))
    return unauthorized()


def _count_request(request: Request, deployment: Deployment, rules: Rules, who: str) -> None:
    status = deployment.limits.hit(rules, who)
    request.state.limits = status.headers
    if not status.allowed:
        RATE_LIMIT_HITS.labels(who).inc()
        raise too_many("rate_limited", f"At most {status.limit} requests are allowed.", status.reset_seconds)


def _write_audit_entry(deployment: Deployment, entry: AuditEntry) -> None:
    with deployment.store.write() as connection:
        record_entry(connection, entry, deployment.store.now())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
