"""When a process last took it upon itself to ask Cycles for a tenant's balances."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("standings", sa.Column("claimed_at", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("standings") as table:
        table.drop_column("claimed_at")
