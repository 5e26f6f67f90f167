"""Engines on Postgres whose connections a process keeps: making one costs both sides more than ten statements do."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

KEPT: Mapping[str, Any] = {
    "pool_size": 1,
    "max_overflow": -1,
    # One that Postgres or anything between has closed meanwhile is made again before it is used.
    "pool_pre_ping": True,
    "pool_recycle": 300,
    "pool_use_lifo": True,
}
"""How an engine is made that keeps one; others that are used at once are made and closed, and nobody waits for one.

A worker so holds two, Dagster's and the control store's, and 25 of them fit the hundred that Postgres allows.
"""

_engines: "dict[str, Engine]" = {}


def kept(name: str, make: "Callable[[], Engine]") -> "Engine":
    """The engine of this name in this process, made at its first use. A forked child has connections of its own."""
    found = _engines.get(name)
    return found if found is not None else _engines.setdefault(name, make())


def _forget() -> None:
    for engine in _engines.values():
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget)
