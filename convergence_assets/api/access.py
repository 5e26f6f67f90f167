"""Who asks: the tenant that a key names, or the platform's operator; and how often they may."""

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
from convergence_assets.control.audit import Deed, note
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
    """Who asks, by a key of theirs. `tenant_id` is the only tenant that the request may see or change."""

    tenant_id: str
    key_id: str
    scopes: tuple[str, ...]
    address: str


@dataclass(frozen=True)
class Operator:
    """Who holds the admin key."""

    address: str


def _caller(
    request: Request,
    deployment: Annotated[Deployment, Depends(deployment_of)],
    secret: Annotated[str | None, Security(_tenant_key)],
) -> Caller:
    address = _address(request)
    _slow_down(deployment, address)
    found, reason = deployment.keys.judge(secret) if secret else (None, "missing")
    if found is None:
        raise _failed(deployment, address, reason, "key.use", secret)
    request.state.asked_by = {"tenant": found.tenant_id, "key_id": found.key_id}
    _count(request, deployment, deployment.limits.tenant, found.tenant_id)
    if deployment.keys.is_use_to_be_noted(found):
        deployment.behind.do(partial(deployment.keys.used, found))
    return Caller(found.tenant_id, found.key_id, found.scopes, address)


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
    _slow_down(deployment, address)
    if not is_secret(secret, deployment.settings.admin_key):
        raise _failed(deployment, address, "missing" if not secret else "wrong_admin_key", "admin", secret)
    request.state.asked_by = {"key_id": ADMIN}
    _count(request, deployment, deployment.limits.admin, ADMIN)
    return Operator(address)


Reader = Annotated[Caller, Depends(_with_scope("read"))]
Runner = Annotated[Caller, Depends(_with_scope("run"))]
Admin = Annotated[Operator, Depends(_operator)]
Here = Annotated[Deployment, Depends(deployment_of)]


def is_secret(secret: str | None, expected: str | None) -> bool:
    """In constant time; nothing is the secret where none is set."""
    # Digests are of one length: not even that of the key can be measured.
    is_it = hmac.compare_digest(_digest(secret or ""), _digest(expected or ""))
    return bool(expected and secret and is_it)


def _address(request: Request) -> str:
    return network_of(request.client.host if request.client else None)


def _slow_down(deployment: Deployment, address: str) -> None:
    """Refuse an address that failed too often before its key is looked at: an answer would say whether it is right."""
    standing = deployment.limits.standing(deployment.limits.failures, address)
    if not standing.allowed:
        AUTH_FAILURES.labels("too_many").inc()
        raise too_many("too_many_failures", "Too many requests without a valid key.", standing.reset_seconds)


def _failed(deployment: Deployment, address: str, reason: str, action: str, secret: str | None) -> Refusal:
    AUTH_FAILURES.labels(reason).inc()
    if secret:  # who sends none guesses nothing
        deployment.limits.hit(deployment.limits.failures, address)
        deed = Deed("unknown", action, f"refused: {reason}", address=address)
        deployment.behind.do(partial(_note, deployment, deed))
    return unauthorized()


def _count(request: Request, deployment: Deployment, rules: Rules, who: str) -> None:
    standing = deployment.limits.hit(rules, who)
    request.state.limits = standing.headers
    if not standing.allowed:
        RATE_LIMIT_HITS.labels(who).inc()
        raise too_many("rate_limited", f"At most {standing.limit} requests are allowed.", standing.reset_seconds)


def _note(deployment: Deployment, deed: Deed) -> None:
    with deployment.store.write() as connection:
        note(connection, deed, deployment.store.now())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
