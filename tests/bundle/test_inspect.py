"""What a bundle says of itself: its card, its bill of materials, and how it differs from another one."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st

from ocrpack.bundle import Archive, Measured, card, differences
from ocrpack.bundle.format.measured import parse as parse_measured
from ocrpack.errors import BundleError
from tests.bundle.conftest import TRAINED
from tests.index import Index, make_wheel

WEIGHT = {"path": "weights/eng.traineddata", "role": "language"}
MEASURED = Measured.model_validate(
    {
        "machine": {"python": "3.11.7", "platform": "Linux", "processors": 2.0},
        "ready_seconds": 1.5,
        "peak_memory_mb": 120,
        "samples": ({"image": "samples/a.txt", "cer": 0.0, "wer": 0.0, "seconds": 0.2},),
    }
)


def card_of(made):
    with Archive(made.path) as archive:
        return card(archive)


def test_a_card(maker):
    with Index([make_wheel("ocr-core", "1.0", licence="Apache-2.0")]) as index:
        made = maker.build(
            maker.source(
                weights=[WEIGHT], extra={"weights/eng.traineddata": TRAINED},
                requirements_text=f"--extra-index-url {index.url}\nocr-core\n", summary="Reads text",
            ),
            measure=lambda path, files: MEASURED.data,
        )  # fmt: skip
    found = card_of(made)
    assert found.measured == MEASURED
    document = json.loads(json.dumps(found.as_dict()))
    assert document["digest"] == made.manifest.digest
    assert {"name": "ocr-core", "version": "1.0", "marker": "", "licence": "Apache-2.0"} in document["packages"]
    assert document["weights"][0]["inside"] is True
    assert document["measured"]["samples"][0]["cer"] == 0.0
    assert document["signature"] is None
    assert sum(document["sizes"].values()) == made.manifest.total_bytes


def test_the_bill_of_materials(maker):
    with Index([make_wheel("ocr-core", "1.0", licence="Apache-2.0")]) as index:
        source = maker.source(
            weights=[WEIGHT], extra={"weights/eng.traineddata": TRAINED}, license="MIT",
            requirements_text=f"--extra-index-url {index.url}\nocr-core\n",
        )  # fmt: skip
        made = maker.build(source)
    with Archive(made.path) as archive:
        text = archive.read("sbom.cdx.json").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert document["metadata"]["component"]["name"] == "mini"
    by_name = {component["name"]: component for component in document["components"]}
    core = by_name["ocr-core"]
    assert core["purl"] == "pkg:pypi/ocr-core@1.0"
    assert core["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert core["hashes"][0]["alg"] == "SHA-256"
    (weight,) = by_name["echo"]["components"]
    assert weight["name"] == "weights/eng.traineddata"
    assert weight["hashes"][0]["content"] == made.manifest.having("weights")[0].sha256


def test_differences(maker):
    first = maker.build(maker.source("one", weights=[WEIGHT], extra={"weights/eng.traineddata": TRAINED}))
    other = maker.build(_other(maker), measure=lambda path, files: MEASURED.data)
    assert differences(card_of(first), card_of(first)) == []
    changes = differences(card_of(first), card_of(other))
    found = {(change.kind, change.what): (change.before, change.after) for change in changes}
    assert found["descriptor", "version"] == ('"1.0"', '"1.1"')
    assert found["descriptor", "port"] == ("8000", "9000")
    assert found["file", "more.txt"][0] is None
    assert ("file", "app.py") in found
    assert found["measured", "samples/a.txt cer"] == (None, "0.0")
    before, after = found["weights", "weights/eng.traineddata"]
    assert before != after


def _other(maker):
    return maker.source(
        "other", weights=[WEIGHT], extra={"weights/eng.traineddata": TRAINED + b"x", "more.txt": b"more"},
        version="1.1", port=9000, files=["more.txt"], app="def app(environ, start_response):\n    pass\n",
    )  # fmt: skip


def test_the_commands(machine):
    one, other = machine.bundle(), machine.bundle(version="1.1")
    shown = machine.run("inspect", one).out
    for words in ("bundle     mini 1.0", "digest ", "signature  none", "gunicorn", "build --test"):
        assert words in shown
    assert machine.run("inspect", one, "--json").json["name"] == "mini"
    assert "~ descriptor version: " in machine.run("diff", one, other).out
    changes = machine.run("diff", one, other, "--json").json["changes"]
    assert {"kind": "descriptor", "what": "version", "before": '"1.0"', "after": '"1.1"'} in changes
    assert "the same bundle" in machine.run("diff", one, one).out
    assert machine.run("inspect", machine.folder / "none.zip", "--json", status=19).json["error"]["code"] == "not-found"


def test_a_build_that_measures(machine):
    source = machine.source(hooks={"post_deploy": ["touch ../hooked"], "pre_deploy": ["exit 3"]})
    machine.run("build", source, "-o", machine.folder, "--test")
    measured = machine.run("inspect", machine.folder / "mini-1.0.zip", "--json").json["measured"]
    assert measured["samples"] == [
        {"image": "samples/a.txt", "cer": 0.0, "wer": 0.0, "seconds": measured["samples"][0]["seconds"]}
    ]
    assert measured["peak_memory_mb"] > 5
    assert measured["ready_seconds"] > 0
    assert not machine.processes()
    assert not machine.root.exists()
    bad = machine.source(version="1.1", truth="SOMETHING ELSE")
    assert "SOMETHING ELSE" in machine.run("build", bad, "-o", machine.folder, "--test", status=15).err
    assert not (machine.folder / "mini-1.1.zip").exists()


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", MEASURED.data.replace(b"1.5", b"NaN"), MEASURED.data.replace(b"120", b"-1")]
)
def test_measurements_that_are_none(data):
    with pytest.raises(BundleError, match=r"measured\.json"):
        parse_measured(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_measurements_or_refused(data):
    with pytest.raises(BundleError):
        parse_measured(data)
