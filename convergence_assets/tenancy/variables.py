"""Which environment variables a tenant's `${env:NAME}` may name: those with its prefix, and those it was given."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from convergence_assets.pipelines.problems import Problem, nearest
from convergence_assets.pipelines.yaml_source import Source
from convergence_assets.tenancy.grants import refused_without
from convergence_assets.tenancy.secrets import Secret
from convergence_assets.tenancy.tenant_file import TenantSpec

# Read by Settings, by the cloud libraries, by Dagster or by Kubernetes. With a second underscore after the first it is
# a variable of the tenant of that name.
_PLATFORM_PREFIX = re.compile(r"(?:AWS|GOOGLE|AZURE|OCI|DAGSTER|REDIS|KUBERNETES|CONVERGENCE)_(?!_)", re.IGNORECASE)
_PLATFORM_NAMES = frozenset({
    "API_PORT", "BIGQUERY_EMULATOR_HOST", "BIGQUERY_STORAGE_EMULATOR_HOST", "GCP_PROJECT_ID", "K_SERVICE",
    # https://www.postgresql.org/docs/current/libpq-envars.html
    "PGAPPNAME", "PGCHANNELBINDING", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATABASE", "PGDATESTYLE", "PGGEQO",
    "PGGSSDELEGATION", "PGGSSENCMODE", "PGGSSLIB", "PGHOST", "PGHOSTADDR", "PGKRBSRVNAME", "PGLOADBALANCEHOSTS",
    "PGLOCALEDIR", "PGMAXPROTOCOLVERSION", "PGMINPROTOCOLVERSION", "PGOPTIONS", "PGPASSFILE", "PGPASSWORD", "PGPORT",
    "PGREQUIREAUTH", "PGREQUIREPEER", "PGREQUIRESSL", "PGSERVICE", "PGSERVICEFILE", "PGSSLCERT", "PGSSLCERTMODE",
    "PGSSLCOMPRESSION", "PGSSLCRL", "PGSSLCRLDIR", "PGSSLKEY", "PGSSLMAXPROTOCOLVERSION", "PGSSLMINPROTOCOLVERSION",
    "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGSSLSNI", "PGSYSCONFDIR", "PGTARGETSESSIONATTRS", "PGTZ",
    "PGUSER",
})  # fmt: skip
_NAMED_IN_DAGSTER_YAML = re.compile(r"\benv:\s*['\"]?([A-Za-z_][A-Za-z0-9_]*)")


def own_prefix(tenant_id: str) -> str:
    """What the names of a tenant's own variables begin with."""
    return f"{tenant_id.upper()}__"


def is_confusable(tenant_id: str) -> bool:
    """Whether a tenant's variables may look like another one's: `a__b` or `a_` and `a`."""
    return "__" in tenant_id or tenant_id.endswith("_")


def confusable_id(tenant_id: str, file: str, line: int | None) -> Iterator[Problem]:
    """A problem where a new tenant may not be called so."""
    if is_confusable(tenant_id):
        message = f"{tenant_id!r}: the variables of such a tenant could be another's"
        yield Problem(file, line, "tenant_id", message, "an id without __ that does not end with _")


def is_the_platforms(name: str) -> bool:
    """Whether a variable is one that Convergence, Dagster or a library of theirs reads."""
    return name.upper() in _PLATFORM_NAMES or bool(_PLATFORM_PREFIX.match(name)) or name in _variables_of_dagster_yaml()


def refused_variables(
    tenant_id: str, spec: TenantSpec, source: Source, granted: Collection[str], others: Iterable[str]
) -> Iterator[Problem]:
    """A problem for each variable of a tenant's file that it may not read.

    `granted` are those that the operator's `secrets` give it; `others` are ids of tenants with variables that might
    look like its own (`is_confusable`).
    """
    routes = spec.alerts.routes if spec.alerts else ()
    longer = [own_prefix(other) for other in others if len(other) > len(tenant_id)]
    for i, route in enumerate(routes):
        for name in Secret(route.to.get_secret_value()).variables:
            line, key = source.line(("alerts", "routes", i, "to")), f"alerts.routes[{i}].to"
            is_own = name.startswith(own_prefix(tenant_id)) and not any(name.startswith(prefix) for prefix in longer)
            if is_own:
                continue
            expected = f"a variable called {own_prefix(tenant_id)}..."
            if is_the_platforms(name):
                message = f"{name} is the platform's own variable"
                yield Problem(source.file, line, key, message, expected, reaches_out=True)
            elif name not in granted:
                message = f"{name} is no variable of this tenant's"
                near = nearest(name, granted)
                problem = Problem(source.file, line, key, message, expected, near, reaches_out=True)
                yield refused_without({"secrets": {tenant_id: [name]}}, problem)


def _variables_of_dagster_yaml() -> frozenset[str]:
    home = os.environ.get("DAGSTER_HOME")
    try:
        text = Path(home, "dagster.yaml").read_text(encoding="utf-8") if home else ""
    except (OSError, UnicodeDecodeError):
        return frozenset()
    return frozenset(_NAMED_IN_DAGSTER_YAML.findall(text))
