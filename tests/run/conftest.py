"""Runs in these tests are judged by their numbers; the page has tests of its own."""

import pytest


@pytest.fixture(autouse=True)
def _no_page(monkeypatch):
    monkeypatch.setattr("striate.report.folder.write_page", lambda report, folder: None)
