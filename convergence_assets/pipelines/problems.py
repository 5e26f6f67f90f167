"""A mistake in a user's file, as one line with the place, the mistake, what was expected and what was meant."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s'\"]+")
_NEAR = 60.0
_LISTED = 40


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake. `file` is as the user named it, `line` 1-based (None: the file as a whole), `key` the key's path.

    `grant` are the keys of the operator's `_defaults.yaml` with which it would be none. `reaches_out`: it requests what
    is somebody else's, which the audit log records.
    """

    file: str
    line: int | None
    key: str
    message: str
    expected: str | None = None
    suggestion: str | None = None
    grant: Mapping[str, Any] | None = field(default=None, compare=False)
    reaches_out: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        # An address may carry a token, wherever in a file it was put by mistake.
        object.__setattr__(self, "message", _ADDRESS.sub(r"\1...", self.message))

    def render(self) -> str:
        """`file:line: key: message; expected ...; did you mean '...'?`"""
        where = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.suggestion:
            text += f"; did you mean '{self.suggestion}'?"
        return text


class TemplateError(ValueError):
    """A template that cannot be used; carries its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(p.render() for p in problems))
        self.problems = problems


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The known spelling closest to `name`, None where none is close."""
    from rapidfuzz import fuzz, process  # of use where something is wrong

    match = process.extractOne(name, list(candidates), scorer=fuzz.ratio, score_cutoff=_NEAR)
    return match[0] if match else None


def listing(names: Iterable[str]) -> str:
    """`one of a, b, c`, or `nothing` where there are none."""
    ordered = sorted(names)
    shown = ", ".join(ordered[:_LISTED])
    more = f" and {len(ordered) - _LISTED} more" if len(ordered) > _LISTED else ""
    return f"one of {shown}{more}" if ordered else "nothing here"
