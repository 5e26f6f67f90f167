"""Runs watched and ended: launcher, stuck and failed runs, late days, a watchdog for the daemon."""
