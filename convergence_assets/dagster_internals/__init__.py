"""What is not public API of Dagster: names, patches and storage, each covered by a test."""
