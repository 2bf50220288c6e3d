"""The database's history. `alembic revision --autogenerate -m ...` adds to it, `make migrate` applies it."""
