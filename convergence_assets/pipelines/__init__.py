"""What a pipeline's files say, and the catalog of those that ship."""
