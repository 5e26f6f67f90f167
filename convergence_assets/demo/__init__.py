"""Realistic cloud bills for the demo and the tests."""
