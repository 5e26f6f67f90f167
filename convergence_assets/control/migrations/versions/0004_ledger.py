"""The runs index, how far each run was followed, and ledger rows on their way to the warehouse."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
