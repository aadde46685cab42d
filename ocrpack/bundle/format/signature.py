"""Sign a bundle with an SSH key, and find out who signed it.

What is signed is the bundle's digest: its 64 hexadecimal characters and a line feed, in the namespace `ocrpack`, as
`ssh-keygen -Y sign` does it (OpenSSH, PROTOCOL.sshsig). Keys in an agent and on hardware work as they do for ssh.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrpack.errors import BundleError, PreflightError, UsageError
from ocrpack.shell import CommandError, run

NAMESPACE = "ocrpack"
_ARMOUR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n(.*?)\n-----END SSH SIGNATURE-----\s*", re.DOTALL)
_DEADLINE_S = 30
_SIGN_DEADLINE_S = 300
"""A person may have to type a passphrase, or to touch a key."""


@dataclass(frozen=True)
class Signed:
    """What a signature says of itself: the fingerprint and the text of its key, and its namespace."""

    fingerprint: str
    key: str
    namespace: str


def sign(digest: str, key: Path, on_line: Callable[[str], None]) -> bytes:
    """Return the signature of a bundle's digest by an SSH key: a private one, or the public one of an agent's.

    Raises:
        UsageError: there is no such key, or it cannot sign.
        PreflightError: `ssh-keygen` is missing.
    """
    program = _ssh_keygen()
    if not key.is_file():
        raise UsageError(f"there is no key {key}", "name a key that `ssh-keygen -t ed25519` made")
    argv = [program, "-Y", "sign", "-n", NAMESPACE, "-f", key]
    try:
        made = run(argv, stdin=_message(digest), deadline_s=_SIGN_DEADLINE_S, on_line=on_line, terminal=True)
    except CommandError as error:
        reason = " ".join(error.tail.split()) or error.message
        raise UsageError(f"{key} cannot sign: {reason}", "name an SSH key, or have its agent running") from None
    return made.stdout.encode()


def read_signature(signature: bytes) -> Signed:
    """Return what a signature says of itself.

    Raises:
        BundleError: it is no SSH signature.
    """
    try:
        armoured = _ARMOUR.fullmatch(signature)
        if armoured is None:
            raise ValueError("no SSH signature")
        blob = base64.b64decode(b"".join(armoured[1].split()), validate=True)
        if blob[:6] != b"SSHSIG":
            raise ValueError("no SSH signature")
        key, rest = _string(blob[10:])
        namespace, _ = _string(rest)
        kind, _ = _string(key)
        digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
        text = f"{kind.decode('ascii')} {base64.b64encode(key).decode()}"
        return Signed(f"SHA256:{digest}", text, namespace.decode("utf-8", "replace"))
    except (ValueError, binascii.Error, struct.error) as error:
        raise BundleError(f"the bundle's signature cannot be read: {error}", "build it anew with --sign") from None


def _string(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", data)
    if len(data) < 4 + length:
        raise ValueError("it is cut")
    return data[4 : 4 + length], data[4 + length :]


def verify_signature(bundle: str, digest: str, signature: bytes, allowed: Path) -> str:
    """Return who signed a bundle, by a file of allowed signers (`man ssh-keygen`, ALLOWED SIGNERS); no network is used.

    Raises:
        BundleError: it is unsigned, or signed by nobody in the file, with a key out of its time, for another purpose,
            or over another manifest.
        UsageError: there is no such file.
        PreflightError: `ssh-keygen` is missing.
    """
    if not allowed.is_file():
        raise UsageError(f"there is no file of allowed signers {allowed}", "write a line `NAME KEY` for each signer")
    if not signature:
        raise BundleError(f"{bundle} is not signed", f"have it signed by one of {allowed}: `ocrpack build --sign KEY`")
    signed = read_signature(signature)
    if signed.namespace != NAMESPACE:
        raise BundleError(
            f"the signature of {bundle} is for another purpose: its namespace is {signed.namespace!r:.80}",
            f"sign it with `ocrpack build --sign KEY`, or in the namespace {NAMESPACE}",
        )
    with tempfile.TemporaryDirectory(prefix="ocrpack-signature-") as name:
        file = Path(name, "signature")
        file.write_bytes(signature)
        if not _agrees(["check-novalidate", "-n", NAMESPACE, "-s", file], digest):
            raise BundleError(
                f"the signature of {bundle} is over another manifest", "get the bundle again from who signed it"
            )
        signers = _find_principals(file, allowed)
        for signer in signers:
            if _agrees(["verify", "-f", allowed, "-I", signer, "-n", NAMESPACE, "-s", file], digest):
                return signer
    raise _unknown(bundle, signed, allowed)


def _find_principals(file: Path, allowed: Path) -> list[str]:
    try:
        found = run([_ssh_keygen(), "-Y", "find-principals", "-f", allowed, "-s", file], deadline_s=_DEADLINE_S)
    except CommandError:
        return []
    return list(dict.fromkeys(name for line in found.stdout.splitlines() for name in line.split(",") if name))


def _agrees(words: list[object], digest: str) -> bool:
    try:
        run([_ssh_keygen(), "-Y", *words], stdin=_message(digest), deadline_s=_DEADLINE_S)
    except CommandError:
        return False
    return True


def _unknown(bundle: str, signed: Signed, allowed: Path) -> BundleError:
    key, text = signed.key.split()[1], allowed.read_text("utf-8", "replace")
    lines = [line for line in text.splitlines() if key in line.split() and not line.lstrip().startswith("#")]
    if not lines:
        return BundleError(
            f"{bundle} is signed by an unknown key, {signed.fingerprint}",
            f"add `NAME {signed.key}` to {allowed} if you trust it",
        )
    dates = [date for line in lines for date in re.findall(r'(valid-(?:after|before))="?([0-9A-Za-z]+)"?', line)]
    if dates:
        when = " and ".join(f"{word} {date}" for word, date in dates)
        return BundleError(
            f"the key that signed {bundle}, {signed.fingerprint}, has expired or is not valid yet: {when}",
            "have the bundle signed with a valid key, or renew the key's line",
        )
    return BundleError(
        f"the key that signed {bundle}, {signed.fingerprint}, may not sign bundles by its line in {allowed}",
        f'allow it there: namespaces="{NAMESPACE}"',
    )


def _message(digest: str) -> bytes:
    return f"{digest}\n".encode()


def _ssh_keygen() -> str:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise PreflightError(
            "the program ssh-keygen is not on PATH", "Debian, Ubuntu: `apt-get install openssh-client`"
        )
    return program
