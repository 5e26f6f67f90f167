"""What Dagster's webserver has loaded of the tenants, and reloading it."""

from collections.abc import Mapping
from typing import Any

from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant

SECONDS = 30.0
"""The timeout of one request to the webserver; a reload with many tenants takes longer."""
RELOAD_SECONDS = 180.0

_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name } } ... on PythonError { message } } }"
_RELOAD = """mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  ... on WorkspaceLocationEntry { locationOrLoadError { ... on PythonError { message } } }
  ... on ReloadNotSupported { message } ... on RepositoryLocationNotFound { message }
  ... on UnauthorizedError { message } ... on PythonError { message }
} }"""
_ASSETS = "{ assetNodes { assetKey { path } opVersion } }"

Loaded = Mapping[tuple[str, ...], str]
"""The loaded code version by asset key."""


class WebserverError(Exception):
    """The webserver does not answer, or not as Dagster's does; the message names its address and the next step."""


class Webserver:
    """Dagster's webserver at an address, e.g. http://127.0.0.1:3000. Every method raises `WebserverError`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def reload(self) -> None:
        """Reload every code location. A code server that runs as `dagster api grpc` answers and reloads nothing."""
        for entry in _at(self._ask(_LOCATIONS, SECONDS), "workspaceOrError", "locationEntries") or ():
            answer = self._ask(_RELOAD, RELOAD_SECONDS, name=entry["name"])["reloadRepositoryLocation"]
            failure = answer.get("message") or (answer.get("locationOrLoadError") or {}).get("message")
            if failure:
                raise WebserverError(f"code location {entry['name']} was not loaded: {failure.strip()}")

    def loaded(self) -> Loaded:
        """Every asset that it shows now."""
        nodes = self._ask(_ASSETS, SECONDS)["assetNodes"]
        return {tuple(node["assetKey"]["path"]): node["opVersion"] or "" for node in nodes}

    def _ask(self, query: str, seconds: float, **variables: object) -> dict[str, Any]:
        import httpx

        try:
            answer = httpx.post(f"{self._url}/graphql", json={"query": query, "variables": variables}, timeout=seconds)
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise WebserverError(
                f"no Dagster webserver answers at {self._url} ({error or type(error).__name__}); start it, or correct "
                "CONVERGENCE_DAGSTER_URL"
            ) from error
        if not isinstance(body, dict) or "data" not in body or body.get("errors"):
            raise WebserverError(f"{self._url} does not answer as Dagster's webserver; correct CONVERGENCE_DAGSTER_URL")
        return dict(body["data"])


def stale(tenant: Tenant, loaded: Loaded) -> list[str]:
    """The tenant's tables whose loaded definition is missing or differs from its files."""
    current = {(tenant.tenant_id, p.name, s.table): s.definition_hash for p in tenant.pipelines for s in p.steps}
    if not tenant.enabled:
        current = {}
    served = {key: version for key, version in loaded.items() if key[0] == tenant.tenant_id and len(key) == 3}
    return sorted("/".join(key) for key in {*current, *served} if current.get(key) != served.get(key))


def reloaded(settings: Settings, tenant: Tenant) -> tuple[str | None, str | None]:
    """Reload the code location for a tenant's files; what was done, or what a person has to do."""
    url = settings.dagster_url
    by_hand = "reload the code location in the Dagster UI (Deployment), or restart the code server"
    if not url:
        return None, f"{by_hand}, where Dagster runs; CONVERGENCE_DAGSTER_URL lets this command do it"
    webserver = Webserver(url)
    try:
        webserver.reload()
        behind = stale(tenant, webserver.loaded())
    except WebserverError as error:
        return None, f"{by_hand}: {error}"
    if behind:
        return None, (
            f"restart the code server: {url} answered the reload and does not show {behind[0]} as the file says (one "
            "that runs as `dagster api grpc` cannot load anew, `dagster code-server start` can)"
        )
    return f"loaded the code location anew at {url}", None


def _at(document: Mapping[str, Any], *path: str) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
