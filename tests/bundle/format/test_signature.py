"""Signatures: made and checked by the real ssh-keygen; each refusal says what is wrong."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ocrpack.bundle import Archive, verify_signature
from ocrpack.errors import BundleError, UsageError

DIGEST = "a" * 64


def keygen(path, *words):
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *(words or ("-t", "ed25519"))], check=True, input=b"y\n")
    return path


def sign_by_hand(key, text, namespace="ocrpack"):
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", key], input=text, capture_output=True, check=True
    )
    return done.stdout


@pytest.fixture
def key(tmp_path):
    return keygen(tmp_path / "key")


@pytest.fixture
def allow(tmp_path, key):
    """Write the file of allowed signers: a line with these options for the key."""

    def write(options="", of=key, name="ada@example.org"):
        public = of.with_name(of.name + ".pub").read_text().rsplit(" ", 1)[0]
        path = tmp_path / "allowed_signers"
        path.write_text(f"# who may\n{name} {options} {public}\n")
        return path

    return write


def test_a_signed_bundle(maker, key, allow):
    source = maker.source()
    plain = maker.build(source, maker.folder / "plain.zip")
    signed = maker.build(source, maker.folder / "signed.zip", key=key)
    assert signed.manifest.digest == plain.manifest.digest
    with Archive(signed.path) as archive:
        assert archive.check() == []
        assert verify_signature("x", archive.manifest.digest, archive.signature(), allow()) == "ada@example.org"
        limited = allow('namespaces="ocrpack",valid-after="20200101",valid-before="20990101"')
        assert verify_signature("x", archive.manifest.digest, archive.signature(), limited) == "ada@example.org"
    assert maker.build(source, maker.folder / "signed.zip", key=key).unchanged


@pytest.mark.parametrize("words", [("-t", "ed25519"), ("-t", "rsa", "-b", "2048"), ("-t", "ecdsa")])
def test_kinds_of_keys_and_other_programs_signatures(tmp_path, allow, words):
    other = keygen(tmp_path / "other", *words)
    signature = sign_by_hand(other, f"{DIGEST}\n".encode())
    assert verify_signature("x", DIGEST, signature, allow(of=other)) == "ada@example.org"


def test_an_agent_has_the_key(maker, key, allow, monkeypatch):
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    values = dict(part.split("=", 1) for part in started.replace("\n", "").split(";") if "=" in part)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    try:
        subprocess.run(["ssh-add", "-q", key], check=True, capture_output=True)
        key.unlink()
        made = maker.build(maker.source(), key=key.with_name("key.pub"))
        with Archive(made.path) as archive:
            assert verify_signature("x", archive.manifest.digest, archive.signature(), allow()) == "ada@example.org"
    finally:
        subprocess.run(["ssh-agent", "-k"], check=False, capture_output=True)


def test_each_refusal_has_words_of_its_own(tmp_path, key, allow):
    good = sign_by_hand(key, f"{DIGEST}\n".encode())
    stranger = sign_by_hand(keygen(tmp_path / "stranger"), f"{DIGEST}\n".encode())
    cases = [
        (b"", allow(), "is not signed"),
        (stranger, allow(), "signed by an unknown key, SHA256:"),
        (sign_by_hand(key, f"{DIGEST}\n".encode(), "file"), allow(), "another purpose: its namespace is 'file'"),
        (sign_by_hand(key, f"{'b' * 64}\n".encode()), allow(), "over another manifest"),
        (b"-----BEGIN PGP SIGNATURE-----", allow(), "cannot be read"),
        (good[:80] + b"\n-----END SSH SIGNATURE-----\n", allow(), "cannot be read"),
    ]
    seen = set()
    for signature, allowed, words in cases:
        with pytest.raises(BundleError) as caught:
            verify_signature("b.zip", DIGEST, signature, allowed)
        assert words in caught.value.message
        assert caught.value.remedy
        seen.add(caught.value.message)
    for options, words in (('valid-before="20200101"', "expired"), ('namespaces="git"', "may not sign bundles")):
        with pytest.raises(BundleError, match=words):
            verify_signature("b.zip", DIGEST, good, allow(options))
    with pytest.raises(UsageError, match="no file of allowed signers"):
        verify_signature("b.zip", DIGEST, good, tmp_path / "nowhere")
    assert len(seen) == len(cases)


def test_keys_that_cannot_sign(maker, tmp_path):
    with pytest.raises(UsageError, match="no key"):
        maker.build(maker.source("one"), key=tmp_path / "nowhere")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(UsageError, match="cannot sign"):
        maker.build(maker.source("two"), key=tmp_path / "text")
    assert not list((tmp_path / "out").glob("*.zip"))


def test_a_signature_that_was_altered(maker, key, allow, tmp_path):
    made = maker.build(maker.source(), key=key)
    data = bytearray(made.path.read_bytes())
    place = data.rindex(b"-----BEGIN SSH") + 60
    data[place] ^= 1
    (tmp_path / "altered.zip").write_bytes(data)
    with Archive(tmp_path / "altered.zip") as archive, pytest.raises(BundleError, match="altered"):
        archive.signature()


def test_the_commands(machine, tmp_path, key, allow):
    source = machine.source()
    machine.run("build", source, "-o", machine.folder, "--sign", key)
    bundle = machine.folder / "mini-1.0.zip"
    allowed = allow()
    assert machine.run("verify", bundle, "--allowed-signers", allowed, "--json").json["signer"] == "ada@example.org"
    done = machine.deploy(bundle, "--allowed-signers", allowed, "--json").json
    assert done["signer"] == "ada@example.org"
    shutil.copyfile(allowed, machine.root / "allowed_signers")
    unsigned = machine.bundle(version="1.1")
    refused = machine.deploy(unsigned, status=11)
    assert "mini-1.1.zip is not signed" in refused.err
    assert machine.get()["version"] == "1.0"
    assert machine.deploy(bundle, "--json").json["signer"] == "ada@example.org"
    assert "is not signed" in machine.run("verify", unsigned, "--allowed-signers", allowed, status=11).err
