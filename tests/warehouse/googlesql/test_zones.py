"""Zones whose rules are DuckDB's give the same times as those of tzdata, before and after each change of their clocks."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import _zoneinfo  # type: ignore[attr-defined]

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.generator import zones

_CHANGES = 16
_HOURS = (-7200, -1800, -1, 0, 1800, 3600, 7200)


def test_duckdb_knows_the_rules_of_each_zone_that_it_is_asked_for(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    wrong = []
    for name in sorted(zones._names() - zones.OF_OTHER_RULES):
        seconds = ", ".join(map(str, moments(name)))
        found = engine.run(
            f"SELECT s, epoch_us(make_timestamptz(s * 1000000) AT TIME ZONE '{name}'),"
            f" epoch_us(bq_instant(make_timestamp(s * 1000000), '{name}')) FROM (SELECT unnest([{seconds}]) AS s)"
        )
        zone = zones.zone_of(name)
        wrong += [
            (name, datetime.fromtimestamp(second, UTC))
            for second, local, instant in found
            if (local, instant) != (zone.local(second * 1_000_000), zone.instant(second * 1_000_000))
        ]
    engine.close()
    assert not wrong


def moments(name: str) -> list[int]:
    """Seconds since 1970 around a zone's last changes, and of each season until 2099."""
    with (zones._folder() / name).open("rb") as file:
        changes = _zoneinfo.ZoneInfo.from_file(file)._trans_utc[-_CHANGES:]
    around = [change + hours for change in changes for hours in _HOURS]
    seasons = [
        int(datetime(year, month, 3, 12, tzinfo=UTC).timestamp()) for year in range(1971, 2099, 4) for month in (1, 7)
    ]
    return sorted({s for s in (*around, *seasons) if 86_400 * 2 <= s < 4_101_000_000})
