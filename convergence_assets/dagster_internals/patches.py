"""The changes that this project makes to Dagster while it runs: each with its reason, and one switch for all.

CONVERGENCE_DAGSTER_PATCHES=off leaves Dagster as it is, slower and larger with many tenants: it also chooses Dagster's
own SQLite storage (`sqlite_storage.py`), and stores planned checks, which Dagster shows as failed (`instance.py`).
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from typing import ParamSpec

import dagster as dg

MADE_FOR = "1.13"
"""The version of Dagster whose names the patches use, and that the tests hold."""

SWITCH = "CONVERGENCE_DAGSTER_PATCHES"

P = ParamSpec("P")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patch:
    """A change to Dagster: `upstream` is the issue or pull request about it, "none" where there is none."""

    name: str
    reason: str
    upstream: str


PATCHES: dict[str, Patch] = {}
"""Every patch by name, as far as its module is imported."""


def patch(reason: str, upstream: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A function that changes Dagster; it does nothing where patches are off."""

    def decorate(apply: Callable[P, None]) -> Callable[P, None]:
        PATCHES[apply.__name__] = Patch(apply.__name__, reason, upstream)

        @wraps(apply)
        def where_on(*args: P.args, **kwargs: P.kwargs) -> None:
            if why_off() is None:
                apply(*args, **kwargs)

        return where_on

    return decorate


def why_off() -> str | None:
    """Why no patch is applied in this process; None where they are."""
    if os.environ.get(SWITCH, "").lower() == "off":
        return f"{SWITCH}=off"
    if not dg.__version__.startswith(f"{MADE_FOR}."):
        _warn_of_version()
        return f"they are made for Dagster {MADE_FOR}, and this is {dg.__version__}"
    return None


@cache
def _warn_of_version() -> None:
    _log.warning("Dagster is %s: the patches made for %s are left out", dg.__version__, MADE_FOR)
