"""A schedule that is switched off in one code location counts for that location's tenants alone."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData

from convergence_assets.scheduling.schedule_names import schedule_name
from convergence_assets.scheduling.switched_off import switched_off
from convergence_assets.settings import Shard
from tests.scheduling.world import target

NAME = schedule_name("0 6 * * *", "UTC")
TENANTS = [f"tenant{n}" for n in range(20)]


def put(instance: dg.DagsterInstance, location: str, status: InstigatorStatus, name: str = NAME) -> None:
    server = GrpcServerCodeLocationOrigin(host="h", port=1, location_name=location)
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(server, "__repository__"), name)
    instance.add_instigator_state(
        InstigatorState(origin, InstigatorType.SCHEDULE, status, ScheduleInstigatorData("0 6 * * *"))
    )


@pytest.mark.parametrize(
    ("locations", "off"),
    [
        ({}, None),
        ({"code": InstigatorStatus.STOPPED}, lambda tenant: True),
        ({"code": InstigatorStatus.DECLARED_IN_CODE}, None),
        ({"one": InstigatorStatus.STOPPED, "two": InstigatorStatus.RUNNING}, None),
        (
            {"tenants-1-of-2": InstigatorStatus.STOPPED, "tenants-2-of-2": InstigatorStatus.DECLARED_IN_CODE},
            Shard(1, 2).holds,
        ),
        ({"tenants-2-of-3": InstigatorStatus.STOPPED}, Shard(2, 3).holds),
    ],
)
def test_it_is_off_for_whom_its_location_serves(
    locations: dict[str, InstigatorStatus], off: object, tmp_path: Path
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        put(instance, "code", InstigatorStatus.STOPPED, "another_schedule")
        for location, status in locations.items():
            put(instance, location, status)
        is_off = switched_off(instance)
        assert [name for name in TENANTS if is_off(target(name))] == [
            name for name in TENANTS if callable(off) and off(name)
        ]


@pytest.mark.parametrize("part", [Shard(1, 1), Shard(3, 12)])
def test_a_locations_name_tells_its_part(part: Shard) -> None:
    assert Shard.of_location(part.location_name) == part
    assert Shard.of_location("my_own_name") is None
