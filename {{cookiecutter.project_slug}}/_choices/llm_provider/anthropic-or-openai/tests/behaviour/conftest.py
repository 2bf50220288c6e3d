"""The stand-in for the model provider: one for the tests of a module."""

from collections.abc import Iterator

import pytest

from ..vendor import Vendor, run_vendor


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with run_vendor() as running:
        yield running
