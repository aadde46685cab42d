from .build import BuildListener, BuildOptions, Built, build, check_source, lock_of
from .contents.sbom import SBOM
from .diff import Change, differences
from .fetching.download import FetchError, fetch
from .fetching.index_settings import environ, find_uv
from .format.archive_reader import Archive
from .format.hashing import Digests, Hasher, sha256_of, written_back
from .format.manifest import MANIFEST, SIGNATURE, WHEELS, Entry, Manifest, Role, parse_manifest
from .format.measured import Machine, Measured, MeasuredSample
from .format.signature import verify_signature
from .init.new_source import ENGINES, Draft, describe_app, new_source
from .inspect import Card, card
from .packages.lockfile import LOCK, Lock, Pin, parse_lock
from .packages.platforms import Platform, this_machine
from .registry import pull, push

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
    "check_source",
    "describe_app",
    "differences",
    "environ",
    "fetch",
    "find_uv",
    "lock_of",
    "new_source",
    "parse_lock",
    "parse_manifest",
    "pull",
    "push",
    "sha256_of",
    "this_machine",
    "verify_signature",
    "written_back",
]
