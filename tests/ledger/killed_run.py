"""A run in a process of its own: publishes one table, then works on a second one until somebody kills it."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from tests.ledger.following import good, run_assets, table


def hangs(context: dg.AssetExecutionContext) -> Iterator[Any]:
    while True:
        time.sleep(60)
        yield


if __name__ == "__main__":
    home, run_id = sys.argv[1:]
    with dg.DagsterInstance.from_config(home) as instance:
        run_assets(instance, table("a", good()), table("b", hangs, deps=[["acme", "demo_costs", "a"]]), run_id=run_id)
