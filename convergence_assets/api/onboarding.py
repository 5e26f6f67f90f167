"""`POST /admin/tenants`: a tenant planned or made, as `convergence tenants onboard` does it."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from convergence_assets.api.access import Admin, DeploymentDep, Operator
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import Refusal, responses, too_many
from convergence_assets.api.onboarding_models import NotOnboarded, OnboardedTenant, WantedTenant
from convergence_assets.tenancy.folder import UnreadableFolder
from convergence_assets.tenant_lifecycle.onboarding import (
    Onboarded,
    Onboarding,
    OnboardingFailed,
    OnboardingRefused,
    TenantExists,
    plan,
)
from convergence_assets.tenant_lifecycle.onboarding_apply import apply
from convergence_assets.tenant_lifecycle.onboarding_files import ReadOnlyPlace
from convergence_assets.warehouse.errors import WarehouseError

AT_ONCE = 4
"""How many onboardings a process does at once: each keeps a thread for as long as the warehouse takes."""
_BUSY_SECONDS = 30
_CORRECT = "Correct each of the reasons, then send the same request."
_log = logging.getLogger(__name__)
_free_slots = BoundedSemaphore(AT_ONCE)

onboarding = APIRouter(prefix="/admin", tags=["admin"])

_ANSWERS = responses(400, 409, 413) | {
    200: {"model": OnboardedTenant, "description": "All is already as requested, or only the plan was asked for"},
    409: {"model": NotOnboarded, "description": "A tenant of this id is there with other settings, or the tenants "
                                                "folder cannot be written: `content` is the file to commit"},
    422: {"model": NotOnboarded, "description": "Something is missing or wrong; `reasons` names each"},
    503: {"model": NotOnboarded, "description": "The warehouse or the store does not answer; a step that failed has "
                                                "taken back what was made, `left` names what could not be"},
}  # fmt: skip


@onboarding.post(
    "/tenants", status_code=201, response_model=OnboardedTenant, responses=_ANSWERS, summary="Onboard a tenant"
)
def onboard(
    operator: Admin, deployment: DeploymentDep, body: Annotated[WantedTenant, Body()], response: Response
) -> OnboardedTenant:
    """Make its file, dataset, tables and first key, after a dry run of its queries; then have the code location loaded
    anew. Takes as long as the warehouse does, up to minutes.

    The same request again changes nothing and answers 200: without the secret, which is shown once. After a
    lost answer, `POST …/api-keys` makes another key.
    """
    if not _free_slots.acquire(blocking=False):
        raise too_many("busy", f"{AT_ONCE} tenants are being onboarded already.", _BUSY_SECONDS)
    try:
        onboarded = _onboard_tenant(deployment, operator, body)
    finally:
        _free_slots.release()
    if onboarded.outcome != "onboarded":
        response.status_code = 200
    return onboarded


def _onboard_tenant(deployment: Deployment, operator: Operator, body: WantedTenant) -> OnboardedTenant:
    try:
        settings = body.tenant_settings()
    except ValueError as error:
        raise _refused(422, "invalid_request", [str(error)], _CORRECT) from None
    try:
        planned = plan(settings, deployment.settings, datetime.now(UTC))
    except TenantExists as error:
        raise _refused(409, "exists", error.reasons, error.next_step) from None
    except OnboardingRefused as error:
        raise _refused(422, "invalid_request", error.reasons, _CORRECT) from None
    except WarehouseError as error:
        raise _refused(503, error.error_class, [str(error)], error.remedy) from None
    return OnboardedTenant.of(planned, None if body.only_plan else _apply_plan(deployment, operator, body, planned))


def _lines(planned: Onboarding) -> str:
    lines = planned.lines
    return f"{lines.by_hand}, " if lines else ""


def _apply_plan(deployment: Deployment, operator: Operator, body: WantedTenant, planned: Onboarding) -> Onboarded:
    def log_step(step: str) -> None:
        _log.info("onboarding %s: %s", body.tenant_id, step)

    try:
        onboarded = apply(planned, deployment.settings, body.created_by, log_step, operator.address)
    except TenantExists as error:
        raise _refused(409, "exists", error.reasons, error.next_step) from None
    except ReadOnlyPlace as error:
        file = planned.file.shown
        raise _refused(
            409, "read_only", [f"{file}: {error.strerror}. Nothing was changed"],
            f"{_lines(planned)}commit `content` there as `file`, then the same request makes the tables",
            file=file, content=planned.content.decode(),
        ) from None  # fmt: skip
    except OnboardingFailed as error:
        _log.error("onboarding %s: %s", body.tenant_id, error)
        raise _refused(
            503, "onboarding_failed", [str(error)],
            "look at what is left" if error.left else "see to the reason, then the same request",
            undone=list(error.undone), left=list(error.left),
        ) from None  # fmt: skip
    if onboarded.done:
        try:
            deployment.served.refresh()
        except (UnreadableFolder, OSError) as error:  # the secret is in this answer alone
            _log.error("the tenants' files cannot be read anew: %s", error)
    return onboarded


def _refused(status: int, error: str, reasons: Sequence[str], next_step: str, **more: Any) -> Refusal:
    sentence = f"{next_step[:1].upper()}{next_step[1:].rstrip('.')}."
    return Refusal(status, error, f"{'; '.join(reasons)}.", sentence, reasons=list(reasons), **more)
