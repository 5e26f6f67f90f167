"""What is asked of Google besides BigQuery: permissions of the project, and its quota of query bytes.

https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
https://cloud.google.com/service-usage/docs/reference/rest/v1beta1/services.consumerQuotaMetrics
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from convergence_assets.warehouse.errors import AccessDenied, WarehouseUnavailable

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

PROJECTS = "https://cloudresourcemanager.googleapis.com"
SERVICES = "https://serviceusage.googleapis.com"
_QUERY_USAGE = quote("bigquery.googleapis.com/quota/query/usage", safe="")
_PER_DAY = "1/d/{project}"
_MEBIBYTE = 2**20
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class GoogleProject:
    """Requests about one project as the account of `session`; `address` is that of a local server, if one is used."""

    session: "AuthorizedSession"
    project: str
    address: str | None = None

    def missing_permissions(self, permissions: Collection[str]) -> list[str] | None:
        """Those that the account does not have on the project; None where a local server knows no permissions."""
        url = f"{self.address or PROJECTS}/v1/projects/{self.project}:testIamPermissions"
        answer = self._call("POST", url, "cloudresourcemanager.googleapis.com", {"permissions": list(permissions)})
        return None if answer is None else sorted(set(permissions) - set(answer.get("permissions", ())))

    def query_bytes_per_day(self) -> int | None:
        """The quota QueryUsagePerDay; None where it is unlimited, or a local server knows none."""
        path = f"/v1beta1/projects/{self.project}/services/bigquery.googleapis.com/consumerQuotaMetrics/{_QUERY_USAGE}"
        answer = self._call("GET", (self.address or SERVICES) + path, "serviceusage.googleapis.com", None) or {}
        limits = [
            int(bucket["effectiveLimit"])
            for limit in answer.get("consumerQuotaLimits", ())
            if limit.get("unit") == _PER_DAY
            for bucket in limit.get("quotaBuckets", ())
            if "effectiveLimit" in bucket
        ]
        return min((limit * _MEBIBYTE for limit in limits if limit >= 0), default=None)

    def _call(self, method: str, url: str, service: str, body: Any) -> dict[str, Any] | None:
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        try:
            answer: Any = self.session.request(  # type: ignore[no-untyped-call]
                method, url, json=body, timeout=_TIMEOUT_SECONDS
            )
        except (RequestException, GoogleAuthError) as error:
            raise WarehouseUnavailable(f"{service}: {error}") from error
        if answer.ok:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code == 404 and self.address:
            return None
        kind = AccessDenied if answer.status_code in (400, 401, 403) else WarehouseUnavailable
        raise kind(f"{service}: {_message(answer)}")


def _message(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
