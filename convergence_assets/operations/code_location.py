"""What Dagster's webserver has loaded of the tenants, and asking it to load them anew."""

from collections.abc import Mapping
from typing import Any

from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant

SECONDS = 30.0
"""How long one question to the webserver may take; a reload with many tenants takes several of them."""
RELOAD_SECONDS = 180.0

_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name } } ... on PythonError { message } } }"
_RELOAD = """mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
  ... on WorkspaceLocationEntry { locationOrLoadError { ... on PythonError { message } } }
  ... on ReloadNotSupported { message } ... on RepositoryLocationNotFound { message }
  ... on UnauthorizedError { message } ... on PythonError { message }
} }"""
_ASSETS = "{ assetNodes { assetKey { path } opVersion } }"

Loaded = Mapping[tuple[str, ...], str]
"""By asset key the code version that is loaded."""


class WebserverError(Exception):
    """The webserver does not answer, or not as Dagster's does; the message names its address and says what to do."""


class Webserver:
    """Dagster's webserver at an address, e.g. http://127.0.0.1:3000. Every method raises `WebserverError`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def reload(self) -> None:
        """Load every code location anew. A code server that runs as `dagster api grpc` answers and loads nothing."""
        for entry in _at(self._ask(_LOCATIONS, SECONDS), "workspaceOrError", "locationEntries") or ():
            said = self._ask(_RELOAD, RELOAD_SECONDS, name=entry["name"])["reloadRepositoryLocation"]
            failure = said.get("message") or (said.get("locationOrLoadError") or {}).get("message")
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
            said = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise WebserverError(
                f"no Dagster webserver answers at {self._url} ({error or type(error).__name__}); start it, or correct "
                "CONVERGENCE_DAGSTER_URL"
            ) from error
        if not isinstance(said, dict) or "data" not in said or said.get("errors"):
            raise WebserverError(f"{self._url} does not answer as Dagster's webserver; correct CONVERGENCE_DAGSTER_URL")
        return dict(said["data"])


def stale(tenant: Tenant, loaded: Loaded) -> list[str]:
    """The tenant's tables that are loaded otherwise than its files say, or not at all."""
    wanted = {(tenant.tenant_id, p.name, s.table): s.definition_hash for p in tenant.pipelines for s in p.steps}
    if not tenant.enabled:
        wanted = {}
    own = {key: version for key, version in loaded.items() if key[0] == tenant.tenant_id and len(key) == 3}
    return sorted("/".join(key) for key in {*wanted, *own} if wanted.get(key) != own.get(key))


def reloaded(settings: Settings, tenant: Tenant) -> tuple[str | None, str | None]:
    """Have a tenant's files taken up by the code location: what was done, or what a person has to do."""
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


def _at(said: Mapping[str, Any], *path: str) -> Any:
    value: Any = said
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
