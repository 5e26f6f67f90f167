"""The part of the Kubernetes API that a `Cluster` has."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """One resource of the API, as its discovery shows it."""

    group: str
    version: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", ("ns",), namespaced=False),
    Resource("", "v1", "nodes", "Node", ("no",), namespaced=False),
    Resource("", "v1", "pods", "Pod", ("po",)),
    Resource("", "v1", "services", "Service", ("svc",)),
    Resource("", "v1", "configmaps", "ConfigMap", ("cm",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", ("sa",)),
    Resource("", "v1", "events", "Event", ("ev",)),
    Resource("apps", "v1", "deployments", "Deployment", ("deploy",)),
    Resource("apps", "v1", "replicasets", "ReplicaSet", ("rs",)),
    Resource("apps", "v1", "daemonsets", "DaemonSet", ("ds",)),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",)),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",)),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", ("netpol",)),
    Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", ("pc",), namespaced=False),
    Resource("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor"),
    Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics"),
)
OF_KIND = {resource.kind: resource for resource in RESOURCES}


def resource_at(group: str, version: str, plural: str) -> Resource | None:
    sought = (group, version, plural)
    return next((r for r in RESOURCES if (r.group, r.version, r.plural) == sought), None)


def groups() -> Iterator[tuple[str, str]]:
    """Every group beside the core with its version, once."""
    yield from dict.fromkeys((resource.group, resource.version) for resource in RESOURCES if resource.group)
