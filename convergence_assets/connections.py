"""Postgres engines whose connections a process keeps: opening one costs both sides more than ten statements."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

KEPT: Mapping[str, Any] = {
    "pool_size": 1,
    "max_overflow": -1,
    # A connection that was closed in between is reopened before it is used.
    "pool_pre_ping": True,
    "pool_recycle": 300,
    "pool_use_lifo": True,
}
"""Engine arguments: one connection stays open, further ones are opened and closed as needed, and none waits.

A worker keeps two, Dagster's and the control store's; 25 workers fit the hundred that Postgres allows.
"""

_engines: "dict[str, Engine]" = {}


def shared_engine(name: str, make: "Callable[[], Engine]") -> "Engine":
    """The engine of this name in this process, created at its first use. A forked child opens its own connections."""
    engine = _engines.get(name)
    return engine if engine is not None else _engines.setdefault(name, make())


def _close_inherited() -> None:
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_close_inherited)
