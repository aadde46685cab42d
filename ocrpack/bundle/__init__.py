"""The packager's wing: a source folder becomes a bundle, and a bundle is opened safely.

Reading order: `manifest.py` and `archive.py` (what a bundle is), `lock.py`, `index.py`, `target.py`, `wheel.py` and
`locking.py` (its packages), `weights.py` and `fetch.py` (its model), `parts.py`, `guide.py` and `sbom.py` (what else is
inside), `signature.py`, and `build.py`, which puts all of it together.
"""

from ocrpack.bundle.archive import Archive
from ocrpack.bundle.build import BuildListener, Built, build, check, lock_of
from ocrpack.bundle.build import Options as BuildOptions
from ocrpack.bundle.card import Card, Change, card, differences
from ocrpack.bundle.draft import ENGINES, Draft, describe, start
from ocrpack.bundle.fetch import FetchError, fetch
from ocrpack.bundle.index import environ, find_uv
from ocrpack.bundle.lock import LOCK, Lock, Pin
from ocrpack.bundle.lock import parse as parse_lock
from ocrpack.bundle.manifest import MANIFEST, SIGNATURE, WHEELS, Entry, Manifest, Role
from ocrpack.bundle.manifest import parse as parse_manifest
from ocrpack.bundle.measured import Machine, Measured, MeasuredSample
from ocrpack.bundle.registry import pull, push
from ocrpack.bundle.sbom import SBOM
from ocrpack.bundle.signature import verify as verify_signature
from ocrpack.bundle.stream import Digests, Hasher, sha256_of, written_back
from ocrpack.bundle.target import Target
from ocrpack.bundle.target import here as this_machine

__all__ = [
    "ENGINES",
    "LOCK",
    "MANIFEST",
    "SBOM",
    "SIGNATURE",
    "WHEELS",
    "Archive",
    "BuildListener",
    "BuildOptions",
    "Built",
    "Card",
    "Change",
    "Digests",
    "Draft",
    "Entry",
    "FetchError",
    "Hasher",
    "Lock",
    "Machine",
    "Manifest",
    "Measured",
    "MeasuredSample",
    "Pin",
    "Role",
    "Target",
    "build",
    "card",
    "check",
    "describe",
    "differences",
    "environ",
    "fetch",
    "find_uv",
    "lock_of",
    "parse_lock",
    "parse_manifest",
    "pull",
    "push",
    "sha256_of",
    "start",
    "this_machine",
    "verify_signature",
    "written_back",
]
