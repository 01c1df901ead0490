"""What several tests of sparse execution need."""

import pytest

from secateur.sparse import choice


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Choices are kept in a folder of the test's own, and nothing is measured for longer than it has to be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "SECONDS", 0.0)
    monkeypatch.setattr(choice, "LAYER_SECONDS", 0.0)
