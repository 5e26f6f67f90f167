"""Where this deployment's code servers are, and whether they answer: without one nothing is scheduled or monitored."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from convergence_assets.dagster_internals.code_locations import CodeLocation, code_servers_of
from convergence_assets.process import Owner, is_gone, this_process
from convergence_assets.settings import Settings

ANSWER_SECONDS = 3.0
AGAIN_SECONDS = 5.0
"""After these a server that did not answer is probed again: it may be busy, or restarting."""
RELOAD_SECONDS = 180.0
_HERE = Path("workspace.yaml")


def supervised_workspace(settings: Settings) -> Path:
    """The workspace file of `convergence up`, whose servers listen on sockets."""
    return settings.home / "up" / "workspace.yaml"


def write_workspace(settings: Settings, locations: list[CodeLocation]) -> Path:
    """Write it, owned by this process."""
    import yaml

    file = supervised_workspace(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"load_from": [location.as_server() for location in locations]}))
    _owner_file(file).write_text(json.dumps(asdict(this_process())))
    return file


def is_up(settings: Settings) -> bool:
    """Whether `convergence up` runs here with these settings."""
    with suppress(OSError, ValueError, TypeError):
        owner = json.loads(_owner_file(supervised_workspace(settings)).read_text())
        return is_gone(Owner(**owner)) is False
    return False


def servers(settings: Settings) -> list[CodeLocation]:
    """The servers with a known address: of the configured workspace file, else of a running `convergence up`, else of
    workspace.yaml here. Raises Dagster's errors for an invalid file."""
    supervised = supervised_workspace(settings)
    file = settings.workspace or (supervised if is_up(settings) else _HERE)
    return code_servers_of(file) if settings.workspace or file.exists() else []


def silent(locations: Iterable[CodeLocation]) -> Iterator[tuple[CodeLocation, str]]:
    """Those that do not answer, each with the reason."""
    for location in locations:
        if why := location.why_silent(ANSWER_SECONDS):
            yield location, why


def still_silent(locations: Iterable[CodeLocation]) -> list[tuple[CodeLocation, str]]:
    """Those that do not answer when probed twice."""
    once = [location for location, _ in silent(locations)]
    if once:
        time.sleep(AGAIN_SECONDS)
    return list(silent(once))


def reload(locations: Iterable[CodeLocation]) -> Iterator[str]:
    """Reload each; what was done, in words."""
    from dagster._core.errors import DagsterUserCodeUnreachableError

    for location in locations:
        # Dagster 1.13 also reports this where the new process works and the old one, which is dead, cannot be ended.
        with suppress(DagsterUserCodeUnreachableError):
            location.reload(RELOAD_SECONDS)
        why = location.why_silent(ANSWER_SECONDS)
        yield f"{location.name} could not be reloaded: {why}" if why else f"{location.name} was reloaded"


def _owner_file(workspace: Path) -> Path:
    return workspace.with_name("owner.json")
