"""What a tenant's alert routes may be addresses of."""

import re
from collections.abc import Iterator

from convergence_assets.outgoing import SCHEMES, reads_files
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.yaml_source import Source
from convergence_assets.tenancy.tenant_file import TenantSpec

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def refused_addresses(spec: TenantSpec, source: Source) -> Iterator[Problem]:
    """A problem for each route whose address has a scheme that tenants may not use; one that is wholly in a variable is
    checked when it is used."""
    for i, route in enumerate(spec.alerts.routes if spec.alerts else ()):
        line, key = source.line(("alerts", "routes", i, "to")), f"alerts.routes[{i}].to"
        if reads_files(route.to.get_secret_value()):
            message, expected = "the address makes a file be read", "one without template=, pgp...= and wkd="
            yield Problem(source.file, line, key, message, expected, reaches_out=True)
        scheme = _SCHEME.match(route.to.get_secret_value())
        if scheme and scheme[1].lower() not in SCHEMES:
            message = f"{scheme[1]} is no address of a tenant's"
            near = nearest(scheme[1], SCHEMES)
            yield Problem(source.file, line, key, message, listing(SCHEMES), near, reaches_out=True)
