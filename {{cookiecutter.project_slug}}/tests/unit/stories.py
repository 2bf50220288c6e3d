"""What the framework's conftest.py gives to tests: a fresh database."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.tenants.registry import Registry

Opened = Callable[[], AbstractAsyncContextManager[tuple[Registry, CallStore]]]
"""Opens a database that has all tables and no row."""
