"""Which threshold of its budget a tenant's spend has crossed, as told."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("standings", sa.Column("alerted", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("standings") as table:
        table.drop_column("alerted")
