"""A YAML source against a model: every mismatch as a `Problem` at the line of the key that is wrong."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from convergence_assets.pipelines.models import Model
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.yaml_source import Path, Source, spelled

M = TypeVar("M", bound=Model)

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "date_type": "a date like 2026-10-01",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}


def check(source: Source, model: type[M]) -> tuple[M | None, list[Problem]]:
    """The model's value, or every problem of the file."""
    if source.data is None:
        return None, source.problems
    try:
        return model.model_validate(source.data), []
    except ValidationError as error:
        mismatches = [e for e in error.errors(include_url=False) if not _is_consequence(dict(e))]
        return None, [_problem(source, model, dict(e)) for e in mismatches]


def _is_consequence(mismatch: dict[str, Any]) -> bool:
    """pydantic counts only the items that are right: a list can be too short because of another problem."""
    return bool(mismatch["type"] == "too_short" and len(mismatch["input"]) >= mismatch["ctx"]["min_length"])


def _problem(source: Source, model: type[Model], mismatch: dict[str, Any]) -> Problem:
    path = _path(source.data, mismatch["loc"])
    kind, context = mismatch["type"], mismatch.get("ctx", {})
    shown = _shown(mismatch["input"], hidden=bool(model.never_shown.intersection(map(str, path))))
    line, key = source.after(path) if mismatch["input"] is None else source.line(path), spelled(path)
    name = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        known_keys = [str(k) for k in _fields(model, mismatch["loc"])]
        return Problem(source.file, line, key, "unknown key", listing(known_keys), nearest(name, known_keys))
    if kind == "missing":
        return Problem(
            source.file, _place_of_missing(source, model, mismatch["loc"], path), key, "missing", "a value for this key"
        )
    if kind == "literal_error":
        allowed = [a.strip("'") for a in context["expected"].replace(" or ", ", ").split(", ")]
        return Problem(
            source.file,
            line,
            key,
            f"{shown} is not known",
            listing(allowed),
            nearest(str(mismatch["input"]), allowed),
        )
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        allowed = [a.strip("'") for a in str(context.get("expected_tags", "'bigquery', 'files'")).split(", ")]
        tag = str(context.get("tag", ""))
        at = (*path, "kind") if (*path, "kind") in source.lines else path
        return Problem(
            source.file,
            source.line(at),
            spelled((*path, "kind")),
            f"{tag!r} is not a step kind" if tag else "missing",
            listing(allowed),
            nearest(tag, allowed),
        )
    if kind == "string_pattern_mismatch":
        meant = model.meant.get(context["pattern"], f"text matching {context['pattern']}")
        return Problem(source.file, line, key, f"{shown} is not valid here", meant)
    if kind == "value_error":
        if path and path not in source.lines:
            path = path[:-1]
        path = (*path, *getattr(context["error"], "path", ()))
        return Problem(source.file, source.line(path), spelled(path), str(context["error"]))
    if kind in ("too_short", "too_long"):
        count, which = (context.get("min_length"), "least") if kind == "too_short" else (context["max_length"], "most")
        return Problem(source.file, line, key, f"{context['actual_length']} items", f"at {which} {count}")
    message = f"{shown}: {mismatch['msg'].lower()}"
    return Problem(source.file, line, key, message, _EXPECTED.get(kind))


def _place_of_missing(
    source: Source, model: type[BaseModel], location: tuple[str | int, ...], path: Path
) -> int | None:
    """The last line of what usually comes before the key: where a person would write it."""
    order = _fields(model, location)
    name = location[-1]
    earlier = order[: order.index(name)] if name in order else []
    for sibling in reversed(earlier):
        at = (*path[:-1], sibling)
        if at in source.lines:
            return source.after(at)
    return source.line(path[:-1])


def _path(data: Any, location: tuple[str | int, ...]) -> Path:
    """The part of pydantic's location that is in the file (union tags and the like do not)."""
    path: list[str | int] = []
    for i, part in enumerate(location):
        is_item = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if is_item or (isinstance(data, dict) and part in data):
            data = data[part]
        elif i < len(location) - 1:
            continue
        elif part == "[key]":
            break
        path.append(part)
    return tuple(path)


def _fields(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str | int]:
    """The keys of the mapping that holds the location's last part, in the model's order."""
    current: Any = model
    for part in location[:-1]:
        current = _inside(current, part)
    return [field.alias or name for m in _models(current) for name, field in m.model_fields.items()]


def _inside(annotation: Any, part: str | int) -> Any:
    models = _models(annotation)
    for m in models:
        if len(models) > 1 and "kind" in m.model_fields and part in _literals(m.model_fields["kind"].annotation):
            return m
        for name, field in m.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
    return annotation


def _literals(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models(inner)]


def _shown(value: Any, *, hidden: bool) -> str:
    text = "the value" if hidden else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
