"""Objects against the schemas of Kubernetes' releases, strictly: with no key that it does not know."""

from collections.abc import Mapping
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]

VERSIONS = ("1.31", "1.34", "1.37")
"""The oldest release that the manifests are made for, one between, and the newest with a schema."""


class Invalid(Exception):
    """The object is not one that the release takes; the message says why."""


def validate(manifest: Mapping[str, Any], version: str) -> bool:
    """False for a custom resource, which has no schema. Raises `Invalid`."""
    try:
        kubernetes_validate.validate(dict(manifest), version, strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return False
    except kubernetes_validate.ValidationError as error:
        raise Invalid(f"{manifest['kind']} {manifest['metadata']['name']}: {error.message}") from None
    return True
