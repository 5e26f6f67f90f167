"""Exceptions of google-cloud-bigquery and failed jobs to the taxonomy of `warehouse.errors`.

Reasons: https://cloud.google.com/bigquery/docs/error-messages
"""

import re
from collections.abc import Mapping
from typing import Any

from convergence_assets.redaction import hide_literals
from convergence_assets.warehouse.errors import (
    AccessDenied,
    BytesCapExceeded,
    InvalidQuery,
    JobCancelled,
    JobTimeout,
    NotFound,
    PartitionConflict,
    QuotaExceeded,
    RateLimited,
    ResourcesExceeded,
    SchemaMismatch,
    WarehouseError,
    WarehouseUnavailable,
)

_REASONS: Mapping[str, type[WarehouseError]] = {
    "accessDenied": AccessDenied,
    "authError": AccessDenied,
    "backendError": WarehouseUnavailable,
    "badGateway": WarehouseUnavailable,
    "billingNotEnabled": AccessDenied,
    "billingTierLimitExceeded": ResourcesExceeded,
    "blocked": AccessDenied,
    "bytesBilledLimitExceeded": BytesCapExceeded,
    "conditionNotMet": PartitionConflict,
    "concurrentUpdate": PartitionConflict,
    "forbidden": AccessDenied,
    "internalError": WarehouseUnavailable,
    "invalid": InvalidQuery,
    "invalidQuery": InvalidQuery,
    "invalidUser": AccessDenied,
    "jobBackendError": WarehouseUnavailable,
    "jobInternalError": WarehouseUnavailable,
    "jobRateLimitExceeded": RateLimited,
    "jobTimeout": JobTimeout,
    "notFound": NotFound,
    "parseError": InvalidQuery,
    "quotaExceeded": QuotaExceeded,
    "rateLimitExceeded": RateLimited,
    "required": AccessDenied,
    "resourceInUse": PartitionConflict,
    "resourcesExceeded": ResourcesExceeded,
    "responseTooLarge": ResourcesExceeded,
    "stopped": JobCancelled,
    "tableUnavailable": WarehouseUnavailable,
    "timeout": JobTimeout,
}
_STATUSES: Mapping[int, type[WarehouseError]] = {
    400: InvalidQuery,
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    408: WarehouseUnavailable,
    409: PartitionConflict,
    412: PartitionConflict,
    429: RateLimited,
}
_REQUIRED_IS_NULL = r"required field .* cannot be null|null value .*required|not null constraint"
# One reason covers several causes; the text distinguishes them.
_TEXTS: tuple[tuple[str, type[WarehouseError]], ...] = (
    (r"could not serialize access|concurrent (update|transaction|DML)", PartitionConflict),
    (r"job timed out|exceeded .*job_?timeout|timed out after", JobTimeout),
    (r"provided schema does not match|cannot add fields|changed (type|mode)", SchemaMismatch),
    (_REQUIRED_IS_NULL, SchemaMismatch),
    (r"query exceeded limit for bytes billed", BytesCapExceeded),
)  # fmt: skip
_POSITION = re.compile(r"\s*at \[(\d+):(\d+)\]")


def classified(
    error: BaseException, sql: str = "", *, lines_before: int = 0, principal: str | None = None
) -> WarehouseError:
    """The class of any exception that a call of the client raised.

    `sql` is the author's text, in which an error is located; `lines_before` are lines that the adapter put before it;
    `principal` is the caller, named where access is denied.
    """
    import requests
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    if isinstance(error, WarehouseError):
        return error
    if isinstance(error, exceptions.RetryError):
        if error.cause:
            return classified(error.cause, sql, lines_before=lines_before, principal=principal)
        return WarehouseUnavailable(str(error))
    if isinstance(error, auth.DefaultCredentialsError | auth.RefreshError):
        return AccessDenied(f"no valid Google credentials: {error}")
    if isinstance(error, requests.RequestException | auth.TransportError | ConnectionError | TimeoutError):
        return WarehouseUnavailable(f"BigQuery did not answer: {error}")
    if isinstance(error, exceptions.GoogleAPICallError):
        details: Any = error.errors[0] if error.errors and isinstance(error.errors[0], dict) else {}
        message = str(details.get("message") or error.message)
        return _error_of(str(details.get("reason") or ""), int(error.code or 0), message, sql, lines_before, principal)
    return WarehouseUnavailable(f"{type(error).__name__}: {error}")


def _error_of(
    reason: str, status: int, message: str, sql: str, lines_before: int, principal: str | None
) -> WarehouseError:
    message = hide_literals(message, sql)
    kind = _REASONS.get(reason) or _STATUSES.get(status) or WarehouseUnavailable
    if kind in (InvalidQuery, JobCancelled):
        kind = next((k for pattern, k in _TEXTS if re.search(pattern, message, re.IGNORECASE)), kind)
    if kind is InvalidQuery:
        line, column = _position(message, sql, lines_before)
        return InvalidQuery(_POSITION.sub("", message), line=line, column=column)
    if kind is SchemaMismatch and re.search(_REQUIRED_IS_NULL, message, re.IGNORECASE):
        message = f"a REQUIRED column holds NULL: {message}"
    if kind is AccessDenied and principal:
        message = f"{message} (asked by {principal})"
    return kind(message)


def _position(message: str, sql: str, lines_before: int) -> tuple[int | None, int | None]:
    if match := _POSITION.search(message):
        return max(1, int(match[1]) - lines_before), int(match[2])
    # A server that names no position names the word.
    for name in re.findall(r"name:? `?([A-Za-z_]\w*)", message):
        if word := re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE):
            before = sql[: word.start()]
            return before.count("\n") + 1, word.start() - (before.rfind("\n") + 1) + 1
    return None, None
