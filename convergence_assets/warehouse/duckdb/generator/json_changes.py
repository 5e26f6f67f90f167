"""JSON values that are made and changed: JSON_OBJECT, JSON_SET, JSON_REMOVE, JSON_ARRAY_APPEND and their like."""

from collections.abc import Iterator, Sequence
from typing import Any

from convergence_assets.warehouse.duckdb.generator.json_paths import NOTHING, leads_on, strict_part, strict_steps
from convergence_assets.warehouse.duckdb.generator.json_printer import quoted, text_of
from convergence_assets.warehouse.duckdb.generator.json_strict_parser import value_of

_LARGEST_ARRAY = 1_000_000


def of_members(names: Sequence[str | None] | None, values: Sequence[str] | None) -> str:
    """JSON_OBJECT of names and JSON values; the first of a name counts."""
    if names is None or values is None:
        raise ValueError("Invalid input to JSON_OBJECT: the arrays of keys and of values cannot be NULL")
    members: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        if name is None:
            raise ValueError("Invalid input to JSON_OBJECT: A key cannot be NULL")
        members.setdefault(name, value)
    return "{" + ",".join(f"{quoted(name)}:{members[name]}" for name in sorted(members)) + "}"


def without(text: str, paths: Sequence[str | None]) -> str:
    """JSON_REMOVE."""
    value = value_of(text)
    for path in paths:
        if path is None:
            continue
        *above, last = strict_steps(path) or (None,)
        if last is None:
            raise ValueError("The JSONPath cannot be '$'")
        parent = strict_part(value, above)
        if isinstance(parent, dict) and isinstance(last, str):
            parent.pop(last, None)
        elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
            del parent[last]
    return text_of(value)


def with_values(
    text: str | None, paths: Sequence[str | None], values: Sequence[str], create: bool | None
) -> str | None:
    """JSON_SET."""
    if text is None or create is None:
        return text
    root = [value_of(text)]
    for path, new in zip(paths, values, strict=True):
        if path is not None:
            _set(root, (0, *strict_steps(path)), value_of(new), create=create)
    return text_of(root[0])


def _set(root: list[Any], path: Sequence[Any], new: Any, *, create: bool) -> None:
    *above, last = path
    # Nothing is made where the path breaks at a value of another kind: look before.
    value: Any = root
    for at, step in enumerate(path):
        if value is None:
            if not create and at:
                return
            break
        if isinstance(step, int) and isinstance(value, list):
            if step >= _LARGEST_ARRAY:
                raise ValueError(f"Exceeded maximum array size of {_LARGEST_ARRAY}")
            if step >= len(value):
                if not create:
                    return
                break
        elif isinstance(step, str) and isinstance(value, dict):
            if step not in value:
                if not create:
                    return
                break
        else:
            return
        value = value[step]
    container: Any = root
    for step, after in zip(above, path[1:], strict=True):
        if isinstance(container, list) and step >= len(container):
            container += [None] * (step + 1 - len(container))
        inner = container.get(step) if isinstance(container, dict) else container[step]
        if inner is None:
            inner = {} if isinstance(after, str) else []
            container[step] = inner
        container = inner
    if isinstance(container, list) and last >= len(container):
        container += [None] * (last + 1 - len(container))
    container[last] = new


def appended(
    text: str | None, paths: Sequence[str | None], values: Sequence[str], arrays: Sequence[bool], each: bool | None
) -> str | None:
    """JSON_ARRAY_APPEND; `arrays`: which values come from an ARRAY, whose elements are appended if `each`."""
    if text is None or each is None:
        return text
    root = [value_of(text)]
    for steps, new, spread in _array_changes(paths, values, arrays, each):
        *above, last = steps
        parent = strict_part(root, above)
        if not leads_on(parent, last):
            continue
        if parent[last] is None:
            parent[last] = []
        if isinstance(parent[last], list):
            parent[last] += _elements(new, spread)
    return text_of(root[0])


def inserted(
    text: str | None, paths: Sequence[str | None], values: Sequence[str], arrays: Sequence[bool], each: bool | None
) -> str | None:
    """JSON_ARRAY_INSERT."""
    if text is None or each is None:
        return text
    root = [value_of(text)]
    for steps, new, spread in _array_changes(paths, values, arrays, each):
        *above, last = steps
        if not above or not isinstance(last, int):
            continue
        *higher, name = above
        parent = strict_part(root, higher)
        if not leads_on(parent, name):
            continue
        if parent[name] is None:
            parent[name] = []
        array = parent[name]
        if isinstance(array, list):
            if last >= _LARGEST_ARRAY:
                raise ValueError(f"Exceeded maximum array size of {_LARGEST_ARRAY}")
            elements = _elements(new, spread)
            if not elements and last >= len(array):
                # BigQuery makes the place before it sees that nothing comes there.
                last += 1
            array += [None] * (last - len(array))
            array[last:last] = elements
    return text_of(root[0])


def _array_changes(
    paths: Sequence[str | None], values: Sequence[str], arrays: Sequence[bool], each: bool
) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    """Of each change the steps to its place, the new value, and whether that is put there element by element."""
    for path, new, is_array in zip(paths, values, arrays, strict=True):
        if path is not None and not (is_array and each and new == "null"):
            yield (0, *strict_steps(path)), new, is_array and each


def _elements(new: str, each: bool) -> list[Any]:
    value = value_of(new)
    return value if each and isinstance(value, list) else [value]


def stripped(text: str | None, path: str | None, arrays: bool | None, empty: bool | None) -> str | None:
    """JSON_STRIP_NULLS."""
    if text is None or path is None or arrays is None or empty is None:
        return text
    root = [value_of(text)]
    part = strict_part(root, (0, *strict_steps(path)))
    if part is not NOTHING:
        bare = _stripped(part, arrays=arrays, empty=empty)
        parent = strict_part(root, (0, *strict_steps(path)[:-1])) if strict_steps(path) else root
        parent[strict_steps(path)[-1] if strict_steps(path) else 0] = None if bare is NOTHING else bare
    return text_of(root[0])


def _stripped(value: Any, *, arrays: bool, empty: bool) -> Any:
    if isinstance(value, dict):
        members = {name: _stripped(of, arrays=arrays, empty=empty) for name, of in value.items()}
        members = {name: of for name, of in members.items() if of is not None and of is not NOTHING}
        return members if members or not empty else NOTHING
    if isinstance(value, list):
        elements = [_stripped(e, arrays=arrays, empty=empty) for e in value]
        if not arrays:
            return [{} if e is NOTHING else e for e in elements]
        elements = [e for e in elements if e is not None and e is not NOTHING]
        return elements if elements or not empty else NOTHING
    return value
