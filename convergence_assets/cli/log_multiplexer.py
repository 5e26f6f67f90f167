"""The log lines of several processes in one terminal: readable where somebody reads, JSON where something does."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from convergence_assets.logs.lines import as_text, wrapped
from convergence_assets.settings import log_format

_COLOURS = {"code": "green", "daemon": "cyan", "webserver": "blue", "api": "magenta", "up": "bold"}


class Joined:
    """Shows what the parts of the platform say; may be called from several threads."""

    def __init__(self) -> None:
        """Raises `SettingsError` for a CONVERGENCE_LOG_FORMAT that is none."""
        self._json = log_format(is_terminal=sys.stdout.isatty()) == "json"
        self._console = Console(soft_wrap=True, highlight=False)

    def follow(self, part: str, lines: Iterable[str]) -> None:
        """Show the lines of a part until it has no more."""
        for line in lines:
            self.show(part, _fields(part, line.rstrip()))

    def say(self, text: str) -> None:
        """A line of this process itself."""
        self.show("up", wrapped(text, "convergence.up") | {"severity": "INFO"})

    def show(self, part: str, fields: Mapping[str, Any]) -> None:
        if self._json:
            sys.stdout.write(json.dumps({**fields, "part": part}) + "\n")
            sys.stdout.flush()
        else:
            shown = fields["message"] if fields.get("severity") == "DEFAULT" else as_text(fields, colours=True)
            self._console.print(
                Text(f"{part:10}", _COLOURS[part.partition(" ")[0]]), Text.from_ansi(str(shown)), sep=""
            )


def _fields(part: str, line: str) -> Mapping[str, Any]:
    """What a line says. Before Dagster has opened its instance it writes JSON of its own."""
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if isinstance(said, dict) and "message" in said:
        return said
    if isinstance(said, dict) and "event" in said:
        return wrapped(str(said["event"]), str(said.get("logger", part))) | {"severity": str(said.get("level")).upper()}
    return wrapped(line, part)
