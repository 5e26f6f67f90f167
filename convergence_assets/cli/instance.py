"""The Dagster instance of the `convergence` command: DAGSTER_HOME's, else one under CONVERGENCE_HOME."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from convergence_assets.settings import Settings, SettingsError
from convergence_assets.starter import starter

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.dagster_internals.automation_states import Recorded

T = TypeVar("T")


def dagster_home(settings: Settings) -> Path:
    """The folder of the instance, made with this project's dagster.yaml where DAGSTER_HOME is not set."""
    configured = os.environ.get("DAGSTER_HOME")
    if configured:
        if not Path(configured).is_dir():
            raise SettingsError(
                f"DAGSTER_HOME={configured} is no folder; make it, or unset it to use {settings.dagster_home}"
            )
        return Path(configured)
    home = settings.dagster_home
    own = Path("dagster.yaml")
    text = (own if own.exists() else starter("dagster.yaml")).read_text()
    config = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not config.exists() or config.read_text() != text:
            config.write_text(text)
    except OSError as error:
        raise SettingsError(
            f"{home} cannot be written ({error.strerror or error}); set CONVERGENCE_HOME to a folder that can"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(settings: Settings) -> "dg.DagsterInstance":
    """The instance, to be used in a `with`."""
    import dagster as dg

    dagster_home(settings)
    return dg.DagsterInstance.get()


def read_automation(settings: Settings, read: "Callable[[Recorded], T]") -> T:
    """What `read` returns of the sensors, schedules and daemons: from Dagster's tables, else through an instance."""
    from convergence_assets.control.location import dagster_postgres
    from convergence_assets.dagster_internals.stored_automation import NotReadable, stored_automation

    home = dagster_home(settings)
    try:
        return read(stored_automation(home, dagster_postgres(home / "dagster.yaml")))
    except NotReadable:
        with open_instance(settings) as instance:
            return read(instance)
