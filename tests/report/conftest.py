import chromium
import pytest


@pytest.fixture(scope="session")
def browser():
    """Chromium, or `None`."""
    with chromium.started() as browser:
        yield browser
