"""Google's own analyzer of BigQuery SQL, WebAssembly from the `zetasql` wheel: what a statement means, or why not."""
