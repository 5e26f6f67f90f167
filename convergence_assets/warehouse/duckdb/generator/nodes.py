"""Nodes of the resolved tree, read field by field: one that is set and not read refuses the statement."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

# A node's place, its type (read from the node itself), and how GoogleSQL derived it.
_SAY_NOTHING = frozenset({
    "parse_location_range", "type", "column_list", "is_ordered", "node_source", "function_call_info", "has_using",
    "has_explicit_type", "float_literal_id", "preserve_in_literal_remover", "is_correlated", "alias",
    "column_index_list", "parameter_list", "table_column_list", "field_expr_is_positional",
})  # fmt: skip


# Set on every node of their kind, and empty without COLLATE and STRING(10).
_EMPTY_UNLESS_SAID = frozenset({"type_annotation_map", "collation", "in_collation", "collation_list", "type_modifiers"})


class Unsupported(Exception):
    """No form on the embedded engine; `place` is the node's, in bytes of the statement."""

    def __init__(self, message: str, remedy: str, place: int | None = None) -> None:
        super().__init__(message)
        self.message, self.remedy, self.place = message, remedy, place


class Fields:
    """The set fields of one node, those of its parents among them."""

    def __init__(self, kind: str, message: Any) -> None:
        self.kind, self.place = kind, None
        self._set: dict[str, Any] = {}
        while message is not None:
            above = None
            for field, value in message.ListFields():
                if field.name == "parent":
                    above = value
                elif field.name == "parse_location_range":
                    self.place = value.start
                elif field.name in _EMPTY_UNLESS_SAID and not any(one.ByteSize() for one in _each(field, value)):
                    continue
                elif field.is_repeated or field.message_type or value:
                    self._set[field.name] = value
            message = above
        self._read: set[str] = set()

    def take(self, name: str, default: Any = None) -> Any:
        """The field's value; from now on it counts as read."""
        self._read.add(name)
        return self._set.get(name, default)

    def need(self, name: str) -> Any:
        """The value of a field that this kind of node always has."""
        value = self.take(name)
        if value is None:
            raise Unsupported(f"{self.kind} has no {name}", "write it in another way", self.place)
        return value

    def whole(self) -> None:
        """Raises `Unsupported` where a set field was not read."""
        left = sorted(self._set.keys() - self._read - _SAY_NOTHING)
        if left:
            unread = ", ".join(name.replace("_", " ") for name in left)
            raise Unsupported(
                f"{self.kind} with {unread} has no form on the embedded engine", "write it without", self.place
            )


def _each(field: Any, value: Any) -> Any:
    return value if field.is_repeated else (value,)


def nodes_within(node: Any, kinds: Collection[str]) -> Iterator[Any]:
    """The nodes of these kinds within a node, itself among them."""
    if node.DESCRIPTOR.name in kinds:
        yield node
    for field, value in node.ListFields():
        if field.message_type:
            for one in _each(field, value):
                yield from nodes_within(one, kinds)


@contextmanager
def reading(kind: str, message: Any) -> Iterator[Fields]:
    """The node's fields; when the block ends, every set one has to have been read. A refusal gets the node's place
    unless it has a closer one."""
    fields = Fields(kind, message)
    try:
        yield fields
        fields.whole()
    except Unsupported as refused:
        if refused.place is None:
            refused.place = fields.place
        raise


def chosen(any_node: Any) -> tuple[str, Any]:
    """The node within an `Any...` message, and its kind: `filter_scan` for a ResolvedFilterScan."""
    [(field, node)] = any_node.ListFields()
    name = field.name.removeprefix("resolved_").removesuffix("_node")
    return chosen(node) if node.DESCRIPTOR.name.startswith("Any") else (name, node)


def enum_name(message: Any, field: str) -> str:
    """The name of an enum's value."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    return str(descriptor.enum_type.values_by_number[getattr(message, field)].name)
