"""Alerts: rows that are delivered to the addresses of operators and tenants."""
