from .check import looks_secret
from .format.model import (
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
from .format.schema import json_schema
from .format.values import DESCRIPTOR, FETCHED, RELEASES, SLUG, WHEEL_FILE
from .imports import required_modules
from .load import Source, load, load_source
from .parse import parse
from .requirements import Requirements, read_requirements, requirement_files, without_credentials

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
