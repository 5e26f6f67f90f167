"""Starts runs: warm workers forked on one machine, and how their processes and pods end."""
