"""What the packager declares: `descriptor.json`, read into frozen types or refused with every finding at once.

Reading order: `values.py` and `model.py` (the types), `source.py` (places in the file), `findings.py` (a validator's
words for people), `load.py` (the way through), `check.py` and `folder.py` (what no schema states), with `files.py`,
`requirements.py` and `imports.py` for the source folder.
"""

from ocrpack.descriptor.check import FETCHED, RELEASES, WHEEL_FILE, looks_secret
from ocrpack.descriptor.imports import required_modules
from ocrpack.descriptor.load import NAME as DESCRIPTOR
from ocrpack.descriptor.load import Source, load, load_source, parse
from ocrpack.descriptor.model import (
    App,
    Descriptor,
    Endpoint,
    Interface,
    Model,
    Resources,
    Sample,
    SystemPackage,
    Weight,
)
from ocrpack.descriptor.requirements import Requirements, requirement_files, without_credentials
from ocrpack.descriptor.requirements import read as read_requirements
from ocrpack.descriptor.schema import json_schema
from ocrpack.descriptor.values import SLUG

__all__ = [
    "DESCRIPTOR",
    "FETCHED",
    "RELEASES",
    "SLUG",
    "WHEEL_FILE",
    "App",
    "Descriptor",
    "Endpoint",
    "Interface",
    "Model",
    "Requirements",
    "Resources",
    "Sample",
    "Source",
    "SystemPackage",
    "Weight",
    "json_schema",
    "load",
    "load_source",
    "looks_secret",
    "parse",
    "read_requirements",
    "required_modules",
    "requirement_files",
    "without_credentials",
]
