"""What several deploy tests need."""

from __future__ import annotations

import subprocess

import pytest


@pytest.fixture
def certificate(tmp_path):
    """Return the files of a certificate for this machine's loopback address, and of its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ocr.example",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
