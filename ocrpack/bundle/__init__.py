"""The packager's wing: a source folder becomes a bundle, and a bundle is opened safely."""

from ocrpack.bundle.archive import Archive
from ocrpack.bundle.build import BuildListener, Built, build, check
from ocrpack.bundle.manifest import MANIFEST, Entry, Manifest, Role
from ocrpack.bundle.manifest import parse as parse_manifest
from ocrpack.bundle.server import SERVER_REQUIREMENTS
from ocrpack.bundle.stream import Digests, Hasher

__all__ = [
    "MANIFEST",
    "SERVER_REQUIREMENTS",
    "Archive",
    "BuildListener",
    "Built",
    "Digests",
    "Entry",
    "Hasher",
    "Manifest",
    "Role",
    "build",
    "check",
    "parse_manifest",
]
