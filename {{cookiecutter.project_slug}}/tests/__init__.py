"""Tests: behaviour over HTTP, and units."""
