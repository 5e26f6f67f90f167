"""How the control store's tables came to be, one file a revision; alembic runs them when a store is opened."""
