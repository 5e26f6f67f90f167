"""Files into declared columns: every value by one written grammar (docs/FILES.md), or an error that names it."""
