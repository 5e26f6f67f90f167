"""What alembic runs: the revisions over the connection and in the transaction that the store hands in."""

from alembic import context

from convergence_assets.control.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
