"""A campaign points to the inputs of its rows, each once: rows share their pictures, and a pointer a row was dear.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_REFERENCE = sa.table("reference", sa.column("holder", sa.Text), sa.column("key", sa.Text))
_HOLDER, _KEY = _REFERENCE.c.holder, _REFERENCE.c.key
_OF_ROW, _OF_CAMPAIGN = "row/", "inputs/"


def upgrade() -> None:
    # row/<campaign>/<row>
    after = sa.func.substr(_HOLDER, len(_OF_ROW) + 1)
    slash = sa.func.instr if op.get_bind().dialect.name == "sqlite" else sa.func.strpos
    campaign = sa.func.substr(after, 1, slash(after, "/") - 1)
    mine = _HOLDER.startswith(_OF_ROW)
    inputs = sa.select(sa.literal(_OF_CAMPAIGN) + campaign, _KEY).where(mine).distinct()
    op.execute(sa.insert(_REFERENCE).from_select(["holder", "key"], inputs))
    op.execute(sa.delete(_REFERENCE).where(mine))


def downgrade() -> None:
    # Which row pointed to which input is not known any more: a row without a name keeps them all.
    campaign = sa.func.substr(_HOLDER, len(_OF_CAMPAIGN) + 1)
    mine = _HOLDER.startswith(_OF_CAMPAIGN)
    op.execute(sa.update(_REFERENCE).where(mine).values(holder=sa.literal(_OF_ROW) + campaign + "/"))
