"""Which partitions are due, and asking for them: planner, schedules, catch-up."""
