"""Bundles in a real OCI registry (Debian's docker-registry), pushed and pulled."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import urllib.request

import pytest

from tests.patience import PATIENCE, eventually
from tests.ports import free_port


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=PATIENCE).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed: tools/install_system.sh registry")
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
        try:
            eventually(lambda: answers(f"http://127.0.0.1:{port}/v2/"))
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def test_there_and_back(machine, registry):
    bundle = machine.bundle()
    assert machine.run("push", bundle, f"{registry}/ocr/mini", "--json").json["reference"] == f"{registry}/ocr/mini:1.0"
    assert machine.run("push", bundle, f"{registry}/ocr/mini").out == f"{registry}/ocr/mini:1.0\n"
    newer = machine.bundle(version="1.10")
    machine.run("push", newer, f"{registry}/ocr/mini")
    for reference, whole in ((f"{registry}/ocr/mini:1.0", bundle), (f"oci://{registry}/ocr/mini", newer)):
        pulled = machine.run("pull", reference, "-o", machine.folder / "pulled", "--json").json
        path = machine.folder / "pulled" / whole.name
        assert pulled["bundle"] == str(path)
        assert path.read_bytes() == whole.read_bytes()
    machine.deploy(machine.folder / "pulled" / newer.name)
    request = urllib.request.Request(
        f"http://{registry}/v2/ocr/mini/manifests/1.0", headers={"Accept": "application/vnd.oci.image.manifest.v1+json"}
    )
    with urllib.request.urlopen(request) as answer:
        document = json.load(answer)
    assert document["config"]["mediaType"] == "application/vnd.ocrpack.manifest.v1+json"
    assert [layer["mediaType"] for layer in document["layers"]] == ["application/vnd.ocrpack.bundle.v1+zip"]
    assert document["annotations"]["org.opencontainers.image.version"] == "1.0"


def test_a_large_one_goes_in_pieces(machine, registry):
    source = machine.source(
        model={"name": "m", "version": "1", "weights": [{"path": "w/m.bin", "role": "recognition"}]}
    )
    (source / "w").mkdir()
    (source / "w" / "m.bin").write_bytes(bytes(range(256)) * (40 << 12))
    machine.run("build", source, "-o", machine.folder)
    machine.run("push", machine.folder / "mini-1.0.zip", f"{registry}/ocr/large:1.0")
    machine.run("pull", f"{registry}/ocr/large:1.0", "-o", machine.folder / "back.zip")
    assert (machine.folder / "back.zip").read_bytes() == (machine.folder / "mini-1.0.zip").read_bytes()


def test_another_bundle_of_that_tag(machine, registry):
    machine.run("push", machine.bundle(text="ONE"), f"{registry}/ocr/taken:stable")
    other = machine.bundle(text="OTHER", version="1.1")
    failed = machine.run("push", other, f"{registry}/ocr/taken:stable", status=17)
    assert "is another bundle" in failed.err
    machine.run("push", other, f"{registry}/ocr/taken:stable", "--force")


@pytest.mark.parametrize(
    ("reference", "status", "words"),
    [
        ("{}/ocr/none:1.0", 19, "is not there"),
        ("{}/ocr/none", 19, "is not there"),
        ("127.0.0.1:9/ocr/x:1", 12, "cannot be asked"),
        ("mini", 2, "names nothing in a registry"),
        ("https://x/y:1", 2, "names nothing in a registry"),
    ],
)
def test_what_is_not_there(machine, registry, reference, status, words):
    failed = machine.run("pull", reference.format(registry), "-o", machine.folder / "x", status=status)
    assert words in failed.err
    assert not list(machine.folder.rglob("*.zip"))


def test_what_is_no_bundle_is_not_pushed(machine, registry):
    bundle = machine.bundle()
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    machine.run("push", bundle, f"{registry}/ocr/broken", status=11)
    machine.run("pull", f"{registry}/ocr/broken", status=19)


@pytest.mark.parametrize(
    "answer", [[], {"layers": None}, {"layers": [{}]}, {"layers": [{"digest": "x"}]}, "text", None, 7]
)
def test_a_registry_that_is_none(machine, answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.05,))
        thread.start()
        try:
            for tag in (":1.0", ""):
                failed = machine.run(
                    "pull", f"127.0.0.1:{served.server_port}/x/y{tag}", "-o", machine.folder, status=19
                )
                assert "Traceback" not in failed.err
        finally:
            served.shutdown()
            thread.join()


def test_a_pull_replaces_nothing_unasked(machine, registry):
    machine.run("push", machine.bundle(), f"{registry}/ocr/kept")
    (machine.folder / "here").mkdir()
    (machine.folder / "here" / "mini-1.0.zip").write_bytes(b"mine")
    machine.run("pull", f"{registry}/ocr/kept", "-o", machine.folder / "here", status=17)
    assert (machine.folder / "here" / "mini-1.0.zip").read_bytes() == b"mine"
    machine.run("pull", f"{registry}/ocr/kept", "-o", machine.folder / "here", "--force")
