"""Alembic's environment; `xemplar.catalog.schema.migrate` provides the connection."""

from alembic import context

from xemplar.catalog.table_base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,  # on SQLite too, see sqlite._prepare
)
with context.begin_transaction():
    context.run_migrations()
