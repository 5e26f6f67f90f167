"""Days that a tenant requested over HTTP, as they were requested."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.tables import api_requests

KEPT = timedelta(days=62)


@dataclass(frozen=True)
class ApiRequest:
    """Days that were requested over HTTP."""

    request_id: str
    tenant_id: str
    pipeline: str
    first_day: date
    last_day: date
    asked_by: str
    asked_at: datetime
    retry_of: str | None


def insert_api_request(connection: sa.Connection, request: ApiRequest) -> None:
    """Insert a request, and delete those that are older than `KEPT`."""
    connection.execute(sa.delete(api_requests).where(api_requests.c.asked_at < request.asked_at - KEPT))
    connection.execute(sa.insert(api_requests), vars(request))


def api_request(connection: sa.Connection, tenant_id: str, request_id: str) -> ApiRequest | None:
    conditions = (api_requests.c.tenant_id == tenant_id, api_requests.c.request_id == request_id)
    row = connection.execute(sa.select(api_requests).where(*conditions)).mappings().one_or_none()
    return ApiRequest(**row) if row else None


def api_requests_for(
    connection: sa.Connection, tenant_id: str, pipeline: str, first: date, last: date
) -> Sequence[ApiRequest]:
    """Those for exactly these days, the newest first."""
    conditions = (
        api_requests.c.tenant_id == tenant_id, api_requests.c.pipeline == pipeline,
        api_requests.c.first_day == first, api_requests.c.last_day == last,
    )  # fmt: skip
    query = sa.select(api_requests).where(*conditions).order_by(api_requests.c.asked_at.desc()).limit(5)
    return [ApiRequest(**row) for row in connection.execute(query).mappings()]
