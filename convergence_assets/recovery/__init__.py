"""Finds damaged state files, recreates the control store, and restores published partitions."""
