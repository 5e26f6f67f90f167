"""What a client asks a Kubernetes API before all else: its version, its resources, and how it validates."""

from typing import Any

from tests.kubernetes.resources import RESOURCES, groups

VERSION = "1.33"
Object = dict[str, Any]
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def discovery(words: list[str]) -> Object | None:
    """What the API consists of; None for a path of its objects."""
    match words:
        case ["version"]:
            major, minor = VERSION.split(".")
            return {"major": major, "minor": minor, "gitVersion": f"v{VERSION}.0"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            return {"apiVersion": "v1", "kind": "APIGroupList", "groups": [_group(*pair) for pair in groups()]}
        case ["api", "v1"]:
            return _resources("", "v1")
        case ["apis", group, version]:
            return _resources(group, version)
        case ["openapi", "v3"]:
            paths = ["api/v1", *(f"apis/{group}/{version}" for group, version in groups())]
            return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}
        case ["openapi", "v3", *rest]:
            group, version = ("", "v1") if rest[0] == "api" else (rest[1], rest[2])
            return _schema(group, version)
        case ["openapi", *_]:
            return {}
    return None


def _group(group: str, version: str) -> Object:
    named = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [named], "preferredVersion": named}


def _resources(group: str, version: str) -> Object:
    listed: list[Object] = []
    for resource in RESOURCES:
        if (resource.group, resource.version) != (group, version):
            continue
        named = {
            "namespaced": resource.namespaced,
            "singularName": resource.kind.lower(),
            "shortNames": list(resource.short),
        }
        listed.append(named | {"name": resource.plural, "kind": resource.kind, "verbs": _VERBS})
        if resource.kind in ("Deployment", "ReplicaSet"):
            scale = {"name": f"{resource.plural}/scale", "kind": "Scale", "group": "autoscaling", "version": "v1"}
            listed.append(named | scale | {"verbs": ["get", "patch", "update"]})
        if resource.kind == "Pod":
            eviction = {"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1"}
            listed.append(named | eviction | {"verbs": ["create"]})
            listed.append(named | {"name": "pods/log", "kind": "Pod", "verbs": ["get"]})
    name = f"{group}/{version}" if group else version
    return {"apiVersion": "v1", "kind": "APIResourceList", "groupVersion": name, "resources": listed}


def _schema(group: str, version: str) -> Object:
    """That every PATCH takes `fieldValidation`: kubectl then leaves the validation to the server."""
    field_validation = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    paths = {}
    for resource in RESOURCES:
        if (resource.group, resource.version) == (group, version):
            kind = {"group": group, "version": version, "kind": resource.kind}
            patch = {"parameters": [field_validation], "x-kubernetes-group-version-kind": kind, "responses": {}}
            root = f"/apis/{group}/{version}" if group else f"/api/{version}"
            paths[f"{root}/{resource.plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": VERSION}, "paths": paths}
