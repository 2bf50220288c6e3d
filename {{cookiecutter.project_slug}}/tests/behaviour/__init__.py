"""Tests over HTTP against the running app. No framework is named here."""
