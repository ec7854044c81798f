"""Ambiguous patient pseudonyms, from sources with a colon in their name, become distinct."""

import sqlalchemy as sa
from alembic import context, op

from xemplar.errors import ConfigurationError

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Convert pseudonyms of the previous release to those of `Store.pseudonym`."""
    connection = op.get_bind()
    query = sa.text(
        "SELECT id, source, patient FROM cases WHERE source LIKE '%:%' AND patient IS NOT NULL"
    )
    rows = connection.execute(query).all()
    if not rows:
        return
    store = context.config.attributes.get("store")
    if store is None or not store.pseudonym_key.is_file():
        raise ConfigurationError(
            f"{len(rows):,} cases have an ambiguous patient pseudonym, and making it distinct "
            "needs the store's key; run `xemplar upgrade` with --store, naming the folder "
            "with pseudonym.key"
        )
    renewed = [
        {"number": row.id, "patient": store.unambiguous_pseudonym(row.source, row.patient)}
        for row in rows
    ]
    connection.execute(sa.text("UPDATE cases SET patient = :patient WHERE id = :number"), renewed)


def downgrade() -> None:
    """Keep the pseudonyms: a hash cannot be reversed."""
