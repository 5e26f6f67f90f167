"""DuckDB's SQL from the resolved tree of Google's analyzer.

A node of the resolved tree is written only when every field that is set was read; all else is refused with its place.
"""
