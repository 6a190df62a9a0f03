import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import harness  # noqa: E402


def pytest_report_header(config):
    return f"tidegate: {harness.BINARY} {harness.SANITIZER}"


def pytest_collection_modifyitems(config, items):
    if not Path(harness.BINARY).exists():
        raise pytest.UsageError(f"no program at {harness.BINARY}; run ./dev build, or set TIDEGATE_BIN")
