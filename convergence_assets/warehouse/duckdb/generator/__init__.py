"""DuckDB's SQL from what Google's analyzer says that a statement means.

A node of the resolved tree is written only when every field that is set was read; all else is refused with its place.
"""
