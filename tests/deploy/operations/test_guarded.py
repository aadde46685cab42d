"""Deployments that are not open to everybody: TLS by certificate files, and tokens that a deploy brings by itself."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request

import pytest

from tests.conftest import REPOSITORY
from tests.patience import PATIENCE


def fetch(url, context=None, **headers):
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=headers), timeout=PATIENCE, context=context
    ) as answer:
        return answer.read()


def test_tls_is_served_to_the_public_and_asked_for_by_ocrpack(machine, certificate):
    tls = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    bundle = machine.bundle(app_options={"tls": tls})
    answer = machine.deploy(bundle, "--port", machine.port, "--json").json
    assert answer["url"] == f"https://127.0.0.1:{machine.port}"
    trusting = ssl.create_default_context(cafile=certificate[0])
    assert fetch(f"{answer['url']}/healthz", trusting)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"{answer['url']}/healthz")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        fetch(f"http://127.0.0.1:{machine.port}/healthz")
    assert machine.run("status", "--json").json["deployments"][0]["url"] == answer["url"]
    assert machine.run("verify", "mini", "--json").json["ok"] is True
    machine.run("restart", "mini")
    assert fetch(f"{answer['url']}/healthz", trusting)


@pytest.mark.slow
def test_a_handshake_that_stops_gives_its_thread_back(machine, certificate):
    tls = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    bundle = machine.bundle(app_options={"tls": tls, "threads": 2})
    url = machine.deploy(bundle, "--port", machine.port, "--json").json["url"]
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(("127.0.0.1", machine.port))).sendall(b"\x16\x03\x01")
        time.sleep(0.5)
        assert fetch(f"{url}/healthz", ssl.create_default_context(cafile=certificate[0]))


def test_a_certificate_that_cannot_be_loaded_is_told_before_anything_happens(machine, certificate):
    certificate[1].write_text("no key")
    tls = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    refused = machine.deploy(machine.bundle(app_options={"tls": tls}), "--json", status=12)
    assert "TLS cannot be served" in refused.json["error"]["message"]


def test_tokens_are_asked_of_everybody_and_known_to_the_deploy(machine):
    source = machine.folder / "source"
    shutil.copytree(REPOSITORY / "bundles" / "tesseract", source)
    descriptor = json.loads((source / "descriptor.json").read_text())
    descriptor["app"]["tokens"] = descriptor["secrets"] = ["OCR_API_TOKEN"]
    (source / "descriptor.json").write_text(json.dumps(descriptor))
    machine.run("build", source, "-o", machine.folder)
    bundle = machine.folder / "tesseract-1.0.0.zip"
    env = {"OCR_API_TOKEN": "alpha beta"}
    url = machine.deploy(bundle, "--port", machine.port, "--json", env=env).json["url"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(f"{url}/metrics")
    refused.value.close()
    assert refused.value.code == 401
    assert b"ocr_pages_total" in fetch(f"{url}/metrics", Authorization="Bearer beta")
    assert machine.run("verify", "tesseract", "--json").json["ok"] is True
    for log in (machine.app_folder("tesseract") / "logs").iterdir():
        assert "alpha" not in log.read_text()
    machine.run("restart", "tesseract")
    assert machine.run("verify", "tesseract", "--json").json["ok"] is True
    data = machine.app_folder("tesseract") / "data"
    assert (data / "jobs.sqlite").exists()
    machine.run("remove", "tesseract", "--yes")
    assert not data.exists()
