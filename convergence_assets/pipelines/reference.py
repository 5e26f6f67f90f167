"""A template's reference tables: `reference/<name>.csv`, which SQL reads as `{{ reference_<name> }}`."""

import csv
import io
import re
from collections.abc import Mapping

from convergence_assets.pipelines.problems import Problem

FOLDER = "reference/"
PREFIX = "reference_"
FOR_PEOPLE = ("since", "source")
"""Columns that say from when on a row holds, and where it was found; SQL does not get them."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_reference(path: str) -> bool:
    """Whether a file of a template's folder is one of its reference tables."""
    return path.startswith(FOLDER) and path.endswith(".csv")


def relations(folder: str, contents: Mapping[str, bytes]) -> tuple[dict[str, str], list[Problem]]:
    """By template variable a relation of GoogleSQL, in one line, with the rows of each CSV; all columns are STRING.

    An empty field is NULL.
    """
    relations_by_name: dict[str, str] = {}
    problems: list[Problem] = []
    for path in sorted(filter(is_reference, contents)):
        name, file = path.removeprefix(FOLDER).removesuffix(".csv"), f"{folder}/{path}"
        if not _NAME.fullmatch(name):
            problems.append(Problem(file, None, "", f"{name!r} is no name", "lower-case letters, digits and _"))
            continue
        try:
            relations_by_name[PREFIX + name] = _relation(contents[path].decode("utf-8"))
        except UnicodeDecodeError as error:
            line = contents[path][: error.start].count(b"\n") + 1
            problems.append(Problem(file, line, "", "not UTF-8 text", "a UTF-8 file"))
        except _Wrong as error:
            problems.append(Problem(file, error.line, "", str(error), error.expected))
    return relations_by_name, problems


class _Wrong(ValueError):
    def __init__(self, line: int, message: str, expected: str) -> None:
        super().__init__(message)
        self.line, self.expected = line, expected


def _relation(text: str) -> str:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        kept = [n for n, column in enumerate(header) if column not in FOR_PEOPLE]
        for column in header:
            if not _NAME.fullmatch(column) or header.count(column) > 1:
                raise _Wrong(1, f"{column!r} is no column's name", "each once: lower-case letters, digits and _")
        rows = []
        for row in reader:
            if len(row) != len(header):
                raise _Wrong(reader.line_num, f"{len(row)} fields", f"{len(header)}, as the first line has")
            rows.append([_literal(row[n]) for n in kept])
    except csv.Error as error:
        raise _Wrong(reader.line_num, str(error), "CSV with commas and double quotes") from None
    if not rows or not kept:
        raise _Wrong(1, "no rows", "a line of columns, and rows")
    fields = ", ".join(f"{header[n]} STRING" for n in kept)
    named = ", ".join(f"{value} AS {header[n]}" for value, n in zip(rows[0], kept, strict=True))
    structs = [f"STRUCT({named})", *(f"({', '.join(row)})" for row in rows[1:])]
    return f"UNNEST(ARRAY<STRUCT<{fields}>>[{', '.join(structs)}])"


def _literal(value: str) -> str:
    if not value:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + "'"
