"""Google's IAM API, as far as tenants' service accounts need it: accounts, and who may impersonate them.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.errors import AccessDenied, NotFound, WarehouseError, WarehouseUnavailable

if TYPE_CHECKING:
    from google.auth.transport.requests import AuthorizedSession

ADDRESS = "https://iam.googleapis.com"
_TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"
_TIMEOUT_SECONDS = 60.0
_NEW_ACCOUNT_SECONDS = 90.0
"""How long a new account may not be visible everywhere: https://cloud.google.com/iam/docs/service-accounts-create."""
_CONFLICT = 409


class _NotSeenYet(Exception):
    """The account, or a change of its policy, is not visible yet."""


@dataclass(frozen=True)
class GoogleIam:
    """Requests as the account of `session`. Every method raises `WarehouseError`."""

    session: "AuthorizedSession"
    address: str = ADDRESS
    wait_seconds: float = 1.0

    def create(self, account: str, project: str) -> bool:
        """Create a service account; returns whether it did not exist yet."""
        name = account.partition("@")[0]
        body = {"accountId": name, "serviceAccount": {"displayName": "Convergence, for one tenant"}}
        status, _ = self._call("POST", f"/v1/projects/{project}/serviceAccounts", body, f"making {account}")
        return status != _CONFLICT

    def allow_acting_as(self, account: str, platform: str) -> bool:
        """Let the platform's account create tokens of this one; returns whether it could not yet."""
        from google.api_core.exceptions import RetryError
        from google.api_core.retry import Retry, if_exception_type

        retry = Retry(
            if_exception_type(_NotSeenYet), initial=self.wait_seconds, maximum=10.0, timeout=_NEW_ACCOUNT_SECONDS
        )
        try:
            return bool(retry(self._bind)(account, f"serviceAccount:{platform}"))
        except RetryError as error:
            raise NotFound(f"service account {account} is not seen after {_NEW_ACCOUNT_SECONDS:.0f} s") from error

    def _bind(self, account: str, member: str) -> bool:
        resource = f"/v1/projects/-/serviceAccounts/{account}"
        what = f"letting {member} act as {account}"
        try:
            _, policy = self._call("POST", f"{resource}:getIamPolicy", {}, what)
        except NotFound:
            raise _NotSeenYet from None
        bindings: list[dict[str, Any]] = policy.setdefault("bindings", [])
        if any(b["role"] == _TOKEN_CREATOR and member in b["members"] and "condition" not in b for b in bindings):
            return False
        bindings.append({"role": _TOKEN_CREATOR, "members": [member]})
        # The policy's etag is included: 409 where it was changed in between.
        status, _ = self._call("POST", f"{resource}:setIamPolicy", {"policy": policy}, what)
        if status == _CONFLICT:
            raise _NotSeenYet
        return True

    def _call(self, method: str, path: str, body: Mapping[str, Any], what: str) -> tuple[int, dict[str, Any]]:
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        try:
            answer: Any = self.session.request(  # type: ignore[no-untyped-call]
                method, self.address + path, json=body, timeout=_TIMEOUT_SECONDS
            )
        except (RequestException, GoogleAuthError) as error:
            raise WarehouseUnavailable(f"{what}: {error}") from error
        if answer.ok or answer.status_code == _CONFLICT:
            return answer.status_code, answer.json() if answer.ok and answer.content else {}
        raise _KINDS.get(answer.status_code, WarehouseUnavailable)(f"{what}: {_message(answer)}")


_KINDS: Mapping[int, type[WarehouseError]] = {400: AccessDenied, 401: AccessDenied, 403: AccessDenied, 404: NotFound}


def _message(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
