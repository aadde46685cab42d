from __future__ import annotations


def pytest_addoption(parser):
    parser.addoption("--security", action="store_true", default=False, help="write the table in docs/security.md")
