"""A YAML file to plain values that remember their lines; every damage a file can have becomes a `Problem`.

PyYAML's C parser gives the nodes with their marks (a tenant file in 0.3 ms); the values are resolved here by YAML
1.2's core schema, so that `NO`, `on` and `1:30` stay the strings they look like. A number keeps its digits: a whole one
is an int of any size, one with decimals that no double holds a Decimal.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import yaml

from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_error_line import line_of_error

Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
"""A terminal interprets some, Postgres takes no NUL, and none is visible."""
_INDENT = re.compile(r"^[ \-?:]*", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TAG = "tag:yaml.org,2002:"
_NO_TAG = "tag:yaml.org,2002:as-written"
_LONGEST_NUMBER = 1000
_LARGEST_EXPONENT = 400
_DEEPEST = 30
_LOOK_BACK = 3
_LARGEST_BYTES = 1_000_000
# The C composer recurses without a limit and ends the process some thousand levels down; this many are safe.
_SAFE_DEPTH = 500


class _Loader(yaml.CSafeLoader):
    """Distinguishes a tag in the file from none: PyYAML's own guess of a plain text's kind is not used."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _NO_TAG if implicit[0] else f"{_TAG}str"
        return f"{_TAG}seq" if kind is yaml.SequenceNode else f"{_TAG}map"


@dataclass
class Source:
    """A parsed file: its values, and the line of every key path."""

    file: str
    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    seen: set[int] = field(default_factory=set, repr=False)
    ends: dict[Path, int] = field(default_factory=dict, repr=False)
    blocks: dict[Path, tuple[int, str]] = field(default_factory=dict, repr=False)
    text: list[str] = field(default_factory=list, repr=False)

    def line(self, path: Path) -> int | None:
        """The line of a key, or of the nearest key above it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path)

    def end(self, path: Path) -> int | None:
        """The last line of a key's value."""
        return self.ends.get(path) or self.line(path)

    def after(self, path: Path) -> int | None:
        """The last line of a key's value and of the comments below it: where the next key would be written."""
        line = self.end(path)
        while line and line < len(self.text) and self.text[line].lstrip().startswith("#"):
            line += 1
        return line

    def written(self, path: Path, value: str) -> tuple[int, str]:
        """A text value as written in the file, with the line it begins in; a folded block keeps its lines."""
        return self.blocks.get(path) or (self.line(path) or 1, value)


def read_yaml(file: str, raw: bytes) -> Source:
    """Parse a file; what is wrong with it is in `problems`, and `data` is then None."""
    source = Source(file, None)
    if len(raw) > _LARGEST_BYTES:
        size = f"at most {_LARGEST_BYTES // 1000} kB"
        source.problems.append(Problem(file, 1, "", f"the file has {len(raw) // 1000} kB", size))
        return source
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        source.problems.append(Problem(file, line, "", "not UTF-8 text", "a UTF-8 file"))
        return source
    source.text = text.splitlines()
    try:
        _refuse_depth(text)
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            source.problems.append(Problem(file, 1, "", "the file is empty", "a mapping of keys to values"))
        elif not isinstance(node, yaml.MappingNode):
            source.problems.append(Problem(file, node.start_mark.line + 1, "", "not a mapping", "keys with values"))
        else:
            source.data = _value(node, (), source)
    except yaml.YAMLError as error:
        message = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = line_of_error(error, text)
        source.problems.append(Problem(file, line, "", f"not YAML: {message}", "indented keys and values"))
    except TooDeep as error:
        source.problems.append(Problem(file, error.line, "", "nested too deeply", f"at most {_DEEPEST} levels"))
    if source.problems:
        source.data = None
    return source


class TooDeep(Exception):
    """A value nested more deeply than any of our files needs."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _refuse_depth(text: str) -> None:
    """Raises `TooDeep` before the composer would end the process; the parser's events come without recursion."""
    indents = max((len(indent) for indent in _INDENT.findall(text)), default=0)
    if text.count("[") + text.count("{") + indents <= _SAFE_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise TooDeep(event.start_mark.line + 1 if event.start_mark else 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _value(node: yaml.Node, path: Path, source: Source) -> Any:
    if len(path) > _DEEPEST:
        raise TooDeep(node.start_mark.line + 1)
    source.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        _record_lines(node, path, source)
    if node.tag not in _TAGS[type(node)]:
        tag = node.tag.replace(_TAG, "!!")
        expected_tag = "no tag, or !!str before a text"
        line = node.start_mark.line + 1
        source.problems.append(Problem(source.file, line, spelled(path), f"tag {tag} is not known here", expected_tag))
        return None
    if id(node) in source.seen:
        line = source.line(path)
        source.problems.append(
            Problem(source.file, line, spelled(path), "anchors and aliases are not read here", "the value itself")
        )
        return None
    source.seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and (control := _CONTROL.search(node.value)):
        line, message = source.line(path), f"the text holds the control character {control[0]!a}"
        source.problems.append(Problem(source.file, line, spelled(path), message, "text that can be shown"))
        return None
    if isinstance(node, yaml.ScalarNode):
        try:
            return _scalar(node)
        except ValueError as error:
            source.problems.append(Problem(source.file, source.line(path), spelled(path), str(error)))
            return None
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i), source) for i, item in enumerate(node.value)]
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            source.problems.append(Problem(source.file, line, spelled(path), "a key is not text", "a plain key"))
            continue
        key = key_node.value
        if key in values:
            first = source.lines[(*path, key)]
            key_path = spelled((*path, key))
            source.problems.append(Problem(source.file, line, key_path, f"key given twice (first in line {first})"))
            source.problems.append(Problem(source.file, first, key_path, f"key given again in line {line}"))
            continue
        source.lines[(*path, key)] = line
        values[key] = _value(value_node, (*path, key), source)
    return values


def _record_lines(node: yaml.ScalarNode, path: Path, source: Source) -> None:
    first, last = node.start_mark.line + 1, node.end_mark.line + 1
    if node.style in ("|", ">"):
        last = min(last - 1, len(source.text)) if node.end_mark.column == 0 else last
        source.blocks[path] = (first + 1, "\n".join(source.text[first:last]))
    for depth in range(len(path), -1, -1):
        above = path[:depth]
        source.ends[above] = max(source.ends.get(above, 0), last)


_TAGS: dict[type[yaml.Node], frozenset[str]] = {
    yaml.ScalarNode: frozenset(
        {_NO_TAG, *(f"{_TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))}
    ),
    yaml.SequenceNode: frozenset({f"{_TAG}seq"}),
    yaml.MappingNode: frozenset({f"{_TAG}map"}),
}


def _scalar(node: yaml.ScalarNode) -> Any:
    """The value by its tag, else by what a plain text looks like. Raises ValueError."""
    text, tag = node.value, node.tag
    if tag == f"{_TAG}str" or (tag == _NO_TAG and node.style in ("'", '"', "|", ">")):
        return text
    value = _plain(text)
    kind = tag.removeprefix(_TAG)
    if tag != _NO_TAG and not isinstance(value, _TAGGED[kind]):
        raise ValueError(f"{text[:60]!r} is no !!{kind}")
    if tag != _NO_TAG and isinstance(value, bool) != (kind == "bool"):
        raise ValueError(f"{text[:60]!r} is no !!{kind}")
    return float(value) if kind == "float" and isinstance(value, int) else value


_TAGGED: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float, Decimal), "bool": (bool,), "null": (type(None),),
    "timestamp": (date,),
}  # fmt: skip


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _FLOAT.fullmatch(text):
        return _number(text)
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            return text
    return text


def _number(text: str) -> int | float | Decimal:
    """The number as it is written: an int, a double that is written so, else a Decimal. Raises ValueError."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters; a text stands in quotes")
    if _INT.fullmatch(text):
        return int(text)
    value = Decimal(text)
    if value and abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError(f"the number {text} is out of range; a text stands in quotes")
    double = float(value)
    return double if value == Decimal(repr(double)) else value


def spelled(path: Path) -> str:
    """`pipelines[0].with.export_table`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
