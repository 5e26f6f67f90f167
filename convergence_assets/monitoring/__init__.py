"""Finds stuck, failed and late runs, acts on them and decides what becomes an alert."""
