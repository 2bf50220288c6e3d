"""Tests over HTTP against the running app: no framework is named here."""
