"""The packager's wing: a source folder becomes a bundle, and a bundle is opened safely.

Its folders, each of which imports those before it: `format` (what a bundle is), `fetching` (files from elsewhere),
`packages` (the lock and the wheels), `contents` (what else is inside) and `init`. `build.py` puts it all together.
"""

from ocrpack.bundle.build import BuildListener, Built, build, check, lock_of
from ocrpack.bundle.build import Options as BuildOptions
from ocrpack.bundle.contents.sbom import SBOM
from ocrpack.bundle.diff import Change, differences
from ocrpack.bundle.fetching.download import FetchError, fetch
from ocrpack.bundle.fetching.index_settings import environ, find_uv
from ocrpack.bundle.format.archive_reader import Archive
from ocrpack.bundle.format.hashing import Digests, Hasher, sha256_of, written_back
from ocrpack.bundle.format.manifest import MANIFEST, SIGNATURE, WHEELS, Entry, Manifest, Role
from ocrpack.bundle.format.manifest import parse as parse_manifest
from ocrpack.bundle.format.measured import Machine, Measured, MeasuredSample
from ocrpack.bundle.format.signature import verify as verify_signature
from ocrpack.bundle.init.new_source import ENGINES, Draft, describe, start
from ocrpack.bundle.inspect import Card, card
from ocrpack.bundle.packages.lockfile import LOCK, Lock, Pin
from ocrpack.bundle.packages.lockfile import parse as parse_lock
from ocrpack.bundle.packages.platforms import Platform
from ocrpack.bundle.packages.platforms import here as this_machine
from ocrpack.bundle.registry import pull, push

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
    "Platform",
    "Role",
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
