"""What the tests of the commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from printing import store_board


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results folder with controls, models with awkward names, ties, unfinished and refused ones; read it only."""
    return store_board(tmp_path_factory.mktemp("results"))
