"""Fixtures: east exports, west links to it."""

from collections.abc import AsyncIterator

import pytest

from .clusters import Cluster, Gateway


@pytest.fixture
async def east() -> AsyncIterator[Cluster]:
    async with Cluster("east").running() as cluster:
        yield cluster


@pytest.fixture
async def north() -> AsyncIterator[Cluster]:
    async with Cluster("north").running() as cluster:
        yield cluster


@pytest.fixture
async def west() -> AsyncIterator[Cluster]:
    async with Cluster("west").running() as cluster:
        yield cluster


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway().running() as running:
        yield running
