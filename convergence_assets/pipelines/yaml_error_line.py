"""The line of a YAML error: the parser gives up below the line that a person has to correct."""

import re
from collections.abc import Iterator

import yaml

_MOST_LINES = 2_000
"""Beyond so many lines the parser's own line is used: the search takes quadratic time."""
_OPENS = re.compile(r"([:|>,{\[]|^\s*-|[|>][-+]?)\s*(#.*)?$")
_BLOCK = re.compile(r"(:|-)\s+[|>][-+0-9]*\s*(#.*)?$")
_KEY = re.compile(r"(- +)*[^\s#'\"{\[][^#]*?:(\s|$)")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"")


def line_of_error(error: yaml.YAMLError, text: str) -> int:
    """The line (from 1) that most likely caused the error."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        at = getattr(error, "position", None)
        return text[:at].count("\n") + 1 if isinstance(at, int) else 1
    lines = text.splitlines()
    reported: int = min(mark.line + 1, max(len(lines), 1))
    if reported > _MOST_LINES:
        return reported
    if "flow" in str(getattr(error, "context", "")):
        return _left_open(lines, reported)
    if any(context in str(getattr(error, "context", "")) for context in ("quoted scalar", "simple key")):
        return int(error.context_mark.line) + 1  # type: ignore[attr-defined]
    return _indented_for_no_reason(lines, reported)


def _written(lines: list[str], last: int) -> Iterator[tuple[int, str]]:
    """The lines that are YAML: no comments, no text of block scalars."""
    block: int | None = None
    for number, line in enumerate(lines[:last], 1):
        if not line.strip() or (block is not None and _depth(line) > block):
            continue
        block = _depth(line) if _BLOCK.search(line) else None
        if not line.lstrip().startswith("#"):
            yield number, line


def _left_open(lines: list[str], reported: int) -> int:
    """The last line that can still belong to a bracket: the next one is no deeper than where it was opened."""
    unclosed = [
        number for number, line in _written(lines, reported) if _surplus(line) > 0 and not _closes_below(lines, number)
    ]
    first = unclosed[0] if unclosed else reported
    depth = _depth(lines[first - 1])
    last = first
    for number, line in _written(lines, reported):
        if number > first:
            if _depth(line) <= depth and not line.lstrip().startswith(("]", "}")):
                break
            last = number
    return last


def _closes_below(lines: list[str], opened: int) -> bool:
    depth = _depth(lines[opened - 1])
    for line in lines[opened:]:
        if line.strip() and _depth(line) <= depth:
            return line.lstrip().startswith(("]", "}"))
    return False


def _surplus(line: str) -> int:
    bare = _QUOTED.sub("", line)
    return sum(bare.count(c) for c in "[{") - sum(bare.count(c) for c in "]}")


def _indented_for_no_reason(lines: list[str], reported: int) -> int:
    """The nearest line above the reported one whose indentation, or the missing colon before it, makes no sense."""
    suspect, before_number, before = reported, 0, ""
    levels = [0]
    for number, line in _written(lines, reported):
        depth, above = _depth(line), _depth(before)
        blank = line[: len(line) - len(line.lstrip())]
        if "\t" in blank or (depth and not before):
            suspect = number
        elif before and depth > above and not _opens(before, depth):
            lost_colon = not _KEY.match(before.strip()) or before.lstrip().startswith("- ")
            starts_a_block = line.lstrip().startswith("- ") or line.rstrip().endswith(":")
            is_next = number == before_number + 1
            suspect = before_number if lost_colon or (starts_a_block and is_next) else number
        elif before and depth < above and depth not in levels:
            block = _block_around(lines, number, depth)
            lost_item = line.lstrip().startswith("- ") and not lines[block - 1].lstrip().startswith("- ")
            suspect = block if lost_item else before_number if number - before_number > 1 else number
        levels = [level for level in levels if level < depth] + [depth]
        if line.lstrip().startswith("- "):
            levels.append(depth + len(line.lstrip()) - len(line.lstrip()[1:].lstrip()))
        before_number, before = number, line
    return suspect


def _block_around(lines: list[str], last: int, depth: int) -> int:
    """The first line of the block, deeper than `depth`, that ends above the last line."""
    first = last
    for number, line in _written(lines, last - 1):
        if _depth(line) <= depth:
            first = last
        elif first == last:
            first = number
    return first


def _opens(line: str, depth: int) -> bool:
    """Whether what follows may be at `depth`, deeper than the line."""
    if _OPENS.search(line):
        return True
    item = re.match(r"\s*(- +)+", line)
    return item is not None and depth == item.end()


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
