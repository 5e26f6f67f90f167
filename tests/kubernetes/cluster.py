"""The objects of a Kubernetes cluster, and what its controllers make of them, at once.

A Deployment has a replica set for each of its templates and pods that are ready unless their image is missing; an
autoscaler keeps it within its bounds; a Job completes, or goes on where it executes a run; an eviction respects the
disruption budgets; a pod of a Deployment that is deleted is replaced, on a node that takes pods.
"""

import copy
import hashlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.kubernetes.resources import OF_KIND, Resource

Object = dict[str, Any]
_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"


class Refused(Exception):
    """What the API answers with another status than success."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Change:
    """One event of a watch."""

    version: int
    type: str
    resource: Resource
    object: Object


@dataclass
class Cluster:
    """`missing_images` cannot be pulled; a Job among `failing_jobs` fails. All methods may be called from several
    threads."""

    nodes: tuple[str, ...] = ("node-a", "node-b")
    missing_images: set[str] = field(default_factory=set)
    failing_jobs: set[str] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._objects: dict[tuple[Resource, str, str], Object] = {}
        self._numbers = itertools.count(1)
        for node in self.nodes:
            self.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {}})

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """Raises `Refused` where there is none."""
        with self.changed:
            resource = OF_KIND[kind]
            stored = self._objects.get((resource, namespace if resource.namespaced else "", name))
            if stored is None:
                raise Refused(404, "NotFound", f'{resource.plural} "{name}" not found')
            return copy.deepcopy(stored)

    def has(self, kind: str, name: str, namespace: str = "") -> bool:
        with suppress(Refused):
            return bool(self.get(kind, name, namespace))
        return False

    def all(self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None) -> list[Object]:
        """Those of a namespace, or of all."""
        with self.changed:
            return [
                copy.deepcopy(item)
                for (resource, where, _), item in self._objects.items()
                if resource is OF_KIND[kind] and namespace in ("", where) and selects(labels or {}, item)
            ]

    def put(self, item: Object) -> Object:
        """Create or replace it, and let the controllers act."""
        with self.changed:
            stored = self._store(item)
            self._reconcile(stored)
            return self.get(item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", ""))

    def delete(self, kind: str, name: str, namespace: str = "") -> Object:
        """It and what it owns; a pod of a Deployment is replaced, a Job has failed without its pod."""
        with self.changed:
            gone = self.get(kind, name, namespace)
            self._remove(gone)
            for owner in gone["metadata"].get("ownerReferences", []):
                if owner["kind"] == "ReplicaSet":
                    self._pods_of(self.get("ReplicaSet", owner["name"], namespace))
                if owner["kind"] == "Job":
                    job = self.get("Job", owner["name"], namespace)
                    self._store(job | {"status": {"failed": 1}})
            return gone

    def evict(self, name: str, namespace: str) -> None:
        """Raises `Refused` where a disruption budget does not allow it."""
        with self.changed:
            pod = self.get("Pod", name, namespace)
            if pod["status"]["phase"] == "Running":
                for budget in self.all("PodDisruptionBudget", namespace):
                    if selects(budget["spec"]["selector"]["matchLabels"], pod) and self._allowed(budget) <= 0:
                        message = "Cannot evict pod as it would violate the pod's disruption budget."
                        raise Refused(429, "TooManyRequests", message)
            self.delete("Pod", name, namespace)

    def finish(self, job: str, namespace: str) -> None:
        """The Job's pod has done its work."""
        with self.changed:
            stored = self.get("Job", job, namespace)
            for pod in self.all("Pod", namespace, {"batch.kubernetes.io/job-name": job}):
                self._store(pod | {"status": _pod_status(pod, "Succeeded")})
            complete = {"type": "Complete", "status": "True"}
            self._store(stored | {"status": {"succeeded": 1, "conditions": [complete]}})

    def _store(self, item: Object) -> Object:
        item = copy.deepcopy(item)
        resource, metadata = OF_KIND[item["kind"]], item["metadata"]
        key = (resource, metadata.get("namespace", "") if resource.namespaced else "", metadata["name"])
        before, number = self._objects.get(key), next(self._numbers)
        if before is None:
            metadata |= {"uid": f"uid-{number}", "creationTimestamp": _now(), "generation": 1}
        elif before.get("spec") != item.get("spec"):
            metadata["generation"] = before["metadata"]["generation"] + 1
        metadata["resourceVersion"] = str(number)
        self._objects[key] = item
        self._note(number, "MODIFIED" if before else "ADDED", resource, item)
        return item

    def _remove(self, gone: Object) -> None:
        resource, metadata = OF_KIND[gone["kind"]], gone["metadata"]
        del self._objects[resource, metadata.get("namespace", ""), metadata["name"]]
        self._note(next(self._numbers), "DELETED", resource, gone)
        for owned in [item for item in self._objects.values() if _is_owned(item, gone)]:
            self._remove(owned)

    def _note(self, version: int, kind: str, resource: Resource, item: Object) -> None:
        self.changes.append(Change(version, kind, resource, copy.deepcopy(item)))
        self.changed.notify_all()

    def _reconcile(self, item: Object) -> None:
        match item["kind"]:
            case "Deployment":
                self._roll_out(item)
            case "HorizontalPodAutoscaler":
                target = item["spec"]["scaleTargetRef"]["name"]
                for deployment in self.all("Deployment", item["metadata"]["namespace"]):
                    if deployment["metadata"]["name"] == target:
                        self._roll_out(deployment)
            case "Job" if "status" not in item:
                self._begin(item)

    def _roll_out(self, deployment: Object) -> None:
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        spec = deployment["spec"]
        spec["replicas"] = self._scaled(namespace, name, spec.get("replicas", 1))
        template = spec["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        replica_sets = [one for one in self.all("ReplicaSet", namespace) if _is_owned(one, deployment)]
        revisions = {one["metadata"]["name"]: int(one["metadata"]["annotations"][_REVISION]) for one in replica_sets}
        newest, last = f"{name}-{digest}", max(revisions.values(), default=0)
        revision = last if revisions.get(newest) == last and last else last + 1
        labels = template["metadata"]["labels"] | {_HASH: digest}
        current: Object = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": newest, "namespace": namespace, "labels": labels, "annotations": {_REVISION: str(revision)},
                "ownerReferences": [_owner(deployment)],
            },
            "spec": {
                "selector": {"matchLabels": spec["selector"]["matchLabels"] | {_HASH: digest}},
                "template": copy.deepcopy(template) | {"metadata": template["metadata"] | {"labels": labels}},
            },
        }  # fmt: skip
        starts = self._can_be_pulled(template["spec"])
        former = [one for one in replica_sets if one["metadata"]["name"] != newest]
        for replica_set in former:
            replica_set["spec"]["replicas"] = 0 if starts else replica_set["spec"]["replicas"]
            self._pods_of(self._store(replica_set))
        current["spec"]["replicas"] = spec["replicas"] if starts or not former else 1
        for replica_set in replica_sets:
            if replica_set["metadata"]["name"] == newest:
                current["metadata"] |= {key: replica_set["metadata"][key] for key in ("uid", "generation")}
        self._pods_of(self._store(current))
        total = current["spec"]["replicas"] + sum(one["spec"]["replicas"] for one in former)
        ready = total if starts else total - current["spec"]["replicas"]
        deployment["metadata"].setdefault("annotations", {})[_REVISION] = str(revision)
        deployment["status"] = {
            # One more: storing the autoscaler's number below is another generation.
            "observedGeneration": deployment["metadata"]["generation"] + 1, "replicas": total,
            "updatedReplicas": current["spec"]["replicas"], "readyReplicas": ready, "availableReplicas": ready,
            "unavailableReplicas": total - ready,
            "conditions": [{"type": "Available", "status": "True" if ready else "False"}],
        }  # fmt: skip
        self._store(deployment)

    def _scaled(self, namespace: str, name: str, replicas: int) -> int:
        for scaler in self.all("HorizontalPodAutoscaler", namespace):
            if scaler["spec"]["scaleTargetRef"]["name"] == name:
                bounds = scaler["spec"]
                return min(max(replicas, int(bounds.get("minReplicas", 1))), int(bounds["maxReplicas"]))
        return replicas

    def _pods_of(self, replica_set: Object) -> None:
        namespace, spec = replica_set["metadata"]["namespace"], replica_set["spec"]
        pods = [pod for pod in self.all("Pod", namespace) if _is_owned(pod, replica_set)]
        for pod in pods[spec["replicas"] :]:
            self._remove(pod)
        for _ in range(spec["replicas"] - len(pods)):
            self._start(replica_set, spec["template"])
        self._store(replica_set | {"status": {"replicas": spec["replicas"], "observedGeneration": 1}})

    def _begin(self, job: Object) -> None:
        uid = job["metadata"]["uid"]
        job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        job["status"] = {"active": 1}
        self._store(job)
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        template = copy.deepcopy(job["spec"]["template"])
        labels = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "job-name": name}
        template["metadata"]["labels"] = template["metadata"].get("labels", {}) | labels
        self._start(job, template)
        if name in self.failing_jobs:
            self._store(job | {"status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}})
        elif "execute_run" not in (template["spec"]["containers"][0].get("args") or []):
            self.finish(name, namespace)

    def _start(self, owner: Object, template: Object) -> None:
        number = next(self._numbers)
        nodes = [node["metadata"]["name"] for node in self.all("Node") if not node["spec"].get("unschedulable")]
        pods = Counter(pod["spec"].get("nodeName") for pod in self.all("Pod"))
        spec = copy.deepcopy(template["spec"])
        if nodes:
            spec["nodeName"] = min(nodes, key=lambda node: pods[node])
        pod = {
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": copy.deepcopy(template["metadata"]) | {
                "name": f"{owner['metadata']['name']}-{number:05d}", "namespace": owner["metadata"]["namespace"],
                "ownerReferences": [_owner(owner)],
            },
        }  # fmt: skip
        runs = bool(nodes) and self._can_be_pulled(spec)
        self._store(pod | {"status": _pod_status(pod, "Running" if runs else "Pending")})

    def _can_be_pulled(self, spec: Object) -> bool:
        return not any(container["image"] in self.missing_images for container in spec["containers"])

    def _allowed(self, budget: Object) -> int:
        namespace, spec = budget["metadata"]["namespace"], budget["spec"]
        pods = self.all("Pod", namespace, spec["selector"]["matchLabels"])
        healthy = len([pod for pod in pods if pod["status"]["phase"] == "Running"])
        if "minAvailable" in spec:
            return healthy - int(spec["minAvailable"])
        sets = {pod["metadata"]["ownerReferences"][0]["name"] for pod in pods if _owner_kind(pod) == "ReplicaSet"}
        if not sets or any(_owner_kind(pod) == "Job" for pod in pods):
            return 0  # Kubernetes does not know how many there ought to be
        expected = sum(int(self.get("ReplicaSet", name, namespace)["spec"]["replicas"]) for name in sets)
        return healthy - (expected - int(spec["maxUnavailable"]))


def selects(labels: Mapping[str, str], item: Object) -> bool:
    """Whether an object has these labels."""
    own = item["metadata"].get("labels", {})
    return all(own.get(name) == value for name, value in labels.items())


def _is_owned(item: Object, owner: Object) -> bool:
    return any(o["uid"] == owner["metadata"]["uid"] for o in item["metadata"].get("ownerReferences", []))


def _owner(item: Object) -> Object:
    metadata = item["metadata"]
    named = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return named | {"controller": True}


def _owner_kind(pod: Object) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["kind"])


def _pod_status(pod: Object, phase: str) -> Object:
    states: dict[str, Object] = {
        "Running": {"running": {"startedAt": _now()}},
        "Succeeded": {"terminated": {"exitCode": 0, "reason": "Completed"}},
        "Pending": {"waiting": {"reason": "ImagePullBackOff"}},
    }
    containers = [
        {
            "name": container["name"], "image": container["image"], "imageID": container["image"],
            "restartCount": 0, "ready": phase == "Running", "state": states[phase],
        }
        for container in pod["spec"]["containers"]
    ]  # fmt: skip
    ready = {"type": "Ready", "status": "True" if phase == "Running" else "False"}
    return {"phase": phase, "conditions": [ready], "containerStatuses": containers, "startTime": _now()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
