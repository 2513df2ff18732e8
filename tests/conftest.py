"""Fixtures for every test file."""

pytest_plugins = ["harness.fixtures", "harness.site"]
