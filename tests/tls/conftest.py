"""An authority, and one that nobody is told to trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tls.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The one that is trusted."""
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another."""
    return Authority(tmp_path, "stranger")
