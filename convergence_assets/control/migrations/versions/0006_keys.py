"""API keys, and what was done with them."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    pass
