"""Fixtures for every test."""

from tests.lab_fixture import lab

__all__ = ["lab"]
