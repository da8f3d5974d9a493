"""Worlds for flows: everything outside a process, with time moved by hand."""

from __future__ import annotations

import pytest
from support.crew import World, catalog_for_tests

from gateway.catalog import Catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The templates of tests, compiled once."""
    return catalog_for_tests()


@pytest.fixture
def world(catalog: Catalog) -> World:
    """A world whose store is in memory."""
    return World(catalog)
