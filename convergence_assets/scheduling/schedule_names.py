"""The names of schedules in Dagster."""

import re


def schedule_name(cron: str, timezone: str) -> str:
    """The schedule's name in the UI, from its cron and timezone: `at_0_6_x_x_x_in_Europe_Berlin`."""
    text = cron
    for sign, word in (("*", "x"), ("/", "_every_"), (",", "_and_"), ("-", "_to_")):
        text = text.replace(sign, word)
    zone = timezone.replace("+", "_plus_").replace("-", "_minus_")
    return re.sub(r"[^A-Za-z0-9]+", "_", f"at {text} in {zone}")
