"""Error responses: one shape for every error, with nothing of other tenants in it."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from convergence_assets.control.errors import ControlError
from convergence_assets.redaction import redacted_value
from convergence_assets.tenancy.folder import UnreadableFolder

_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """Why nothing was done, and what to do next."""

    error: str = Field(description="A stable name of the reason", examples=["not_found"])
    message: str = Field(description="What happened", examples=["There is no such thing here."])
    next: str = Field(description="What to do next", examples=["GET /api/v1/pipelines lists what there is."])


class Conflict(Problem):
    """Something else is in the way."""

    run_id: str | None = Field(None, description="The run that is in the way, where there is one")


class Refusal(Exception):
    """An error response; `more` are further fields of the body, after error, message and next."""

    def __init__(
        self,
        status: int,
        error: str,
        message: str,
        next_step: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        self.body = {"error": error, "message": message, "next": next_step} | more


def not_found() -> Refusal:
    """The same for what does not exist and for what is another tenant's."""
    return Refusal(404, "not_found", "There is no such thing here.", "GET /api/v1/pipelines lists what there is.")


def invalid(message: str, next_step: str = "Correct the request; /docs describes it.") -> Refusal:
    return Refusal(422, "invalid_request", message, next_step)


def unauthorized() -> Refusal:
    """The same for every reason: which one it was is in the audit log alone."""
    return Refusal(
        401, "unauthorized", "invalid or expired API key", "Send a valid key in the header that /docs names.",
        {"WWW-Authenticate": "ApiKey"},
    )  # fmt: skip


def too_many(error: str, message: str, retry_after_seconds: int) -> Refusal:
    return Refusal(
        429, error, message, f"Send it again after {retry_after_seconds} seconds.",
        {"Retry-After": str(retry_after_seconds)},
    )  # fmt: skip


Responses = dict[int | str, dict[str, Any]]

_EVERYWHERE: Responses = {
    401: {"model": Problem, "description": "The key is missing, wrong, expired or revoked"},
    422: {"model": Problem, "description": "The request says something that cannot be"},
    429: {"model": Problem, "description": "Too many requests, or the plan is used up; `Retry-After` says when"},
    503: {"model": Problem, "description": "A part that is needed does not answer; `/health/ready` names it"},
}
_MORE: Responses = {
    400: {"model": Problem, "description": "The body is no JSON"},
    403: {"model": Problem, "description": "The key's scopes do not include this"},
    404: {"model": Problem, "description": "There is no such thing for this key"},
    409: {"model": Conflict, "description": "Something else is in the way; `run_id` names the run where it is one"},
    413: {"model": Problem, "description": "The body is too large"},
}


def responses(*statuses: int) -> Responses:
    """The error responses of a route."""
    return _EVERYWHERE | {status: _MORE[status] for status in statuses}


def install(app: FastAPI) -> None:
    """Let every error be answered as a `Problem`."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _is_invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ControlError, _unavailable)
    app.add_exception_handler(UnreadableFolder, _unavailable)
    app.add_exception_handler(Exception, _fault)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return JSONResponse(redacted_value(jsonable_encoder(error.body)), error.status, error.headers)


async def _is_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # What was sent is not repeated: it may hold a secret, or text that no answer can hold.
    message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
    shown = message.encode("ascii", "backslashreplace").decode()[:500]
    return await _refused(request, invalid(shown))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return await _refused(request, not_found())
    by_status = {
        405: ("method_not_allowed", "This path does not take that method."),
        400: ("bad_request", "It is no JSON."),
    }
    name, message = by_status.get(error.status_code, ("refused", "The request was refused."))
    refusal = Refusal(error.status_code, name, message, "/docs describes every route.", error.headers)
    return await _refused(request, refusal)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s: %s", request.method, request.scope.get("path"), error)
    refusal = Refusal(
        503, "unavailable", "The platform's own store does not answer.", "Send it again; /health/ready names the part.",
        {"Retry-After": "5"},
    )  # fmt: skip
    return await _refused(request, refusal)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.scope.get("path"), exc_info=error)
    refusal = Refusal(
        500, "internal", "A fault of the platform; its log has the details.", "Tell the platform's operator."
    )
    return await _refused(request, refusal)
