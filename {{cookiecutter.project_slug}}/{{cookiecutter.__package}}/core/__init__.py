"""Shared by all layers: settings, problems, logging, metrics, tracing, and access to HTTP and SQLite."""
