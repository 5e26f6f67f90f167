"""What kustomize renders of deploy/kubernetes/."""

import functools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import tools

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
ENVIRONMENTS = ("production", "staging")
Object = dict[str, Any]


def kustomize(folder: Path) -> list[Object]:
    """Every object that `kubectl apply -k` sends."""
    rendered = subprocess.run(
        [tools.kubectl(), "kustomize", str(folder)], stdout=subprocess.PIPE, check=True, text=True
    )
    return list(yaml.safe_load_all(rendered.stdout))


@functools.cache
def manifests(environment: str) -> tuple[Object, ...]:
    """All that is applied in an environment, the Jobs of its migrations and its certification too; to be read only."""
    overlay = FOLDER / "overlays" / environment
    return tuple(item for folder in (overlay, overlay / "migrate", overlay / "certify") for item in kustomize(folder))


def find(environment: str, kind: str, name: str) -> Object:
    return next(o for o in manifests(environment) if (o["kind"], o["metadata"]["name"]) == (kind, name))


@dataclass(frozen=True)
class PodTemplate:
    """What the pods of one workload are made of: `spec` is that of Kubernetes."""

    name: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]
