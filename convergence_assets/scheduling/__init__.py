"""Which partitions are due, and requesting them: planner, schedules, catch-up."""
