"""The three kinds of patch that kubectl sends, applied to an object."""

import copy
from collections.abc import Mapping
from typing import Any

# https://github.com/kubernetes/kubernetes: `patchMergeKey` of the API's types, for the lists that occur here.
_KEYS = {
    "conditions": "type", "containers": "name", "env": "name", "initContainers": "name", "imagePullSecrets": "name",
    "ownerReferences": "uid", "volumeMounts": "mountPath", "volumes": "name", "topologySpreadConstraints": "topologyKey",
}  # fmt: skip


def strategic_merge(value: Any, patch: Any) -> Any:
    """As the API server merges built-in kinds: lists of named things by their names."""
    if not isinstance(value, Mapping) or not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = {} if patch.get("$patch") == "replace" else dict(copy.deepcopy(value))
    kept = patch.get("$retainKeys")
    if kept is not None:
        merged = {name: item for name, item in merged.items() if name in kept}
    for name, item in patch.items():
        if name.startswith("$"):
            continue
        if item is None:
            merged.pop(name, None)
        elif isinstance(item, list) and (key := _merge_key(name, item, merged.get(name))):
            order = [
                element[key] for element in patch.get(f"$setElementOrder/{name}", []) if isinstance(element, Mapping)
            ]
            merged[name] = _merge_list(merged.get(name) or [], item, key, order)
        else:
            merged[name] = strategic_merge(merged.get(name, {}), item)
    return merged


def _merge_key(name: str, patch: list[Any], value: Any) -> str | None:
    if name == "ports":  # a container's, else a service's
        items = [*patch, *(value or [])]
        return "containerPort" if any("containerPort" in item for item in items) else "port"
    return _KEYS.get(name)


def _merge_list(value: list[Any], patch: list[Any], key: str, order: list[Any]) -> list[Any]:
    items = {item[key]: item for item in value}
    for item in patch:
        if item.get("$patch") == "delete":
            items.pop(item[key], None)
        else:
            items[item[key]] = strategic_merge(items.get(item[key], {}), item)
    names = [name for name in order if name in items]
    return [items[name] for name in [*names, *(name for name in items if name not in names)]]


def json_merge(value: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(copy.deepcopy(value)) if isinstance(value, Mapping) else {}
    for name, item in patch.items():
        if item is None:
            merged.pop(name, None)
        else:
            merged[name] = json_merge(merged.get(name), item)
    return merged


def json_patch(value: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902: `add`, `replace` and `remove` in objects."""
    changed = copy.deepcopy(value)
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        where = changed
        for part in path:
            where = where[part]
        if operation["op"] == "remove":
            del where[last]
        else:
            assert operation["op"] in ("add", "replace"), operation
            where[last] = copy.deepcopy(operation["value"])
    return changed
