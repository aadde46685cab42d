"""From bytes to a Descriptor, the short way where the bytes are what `build` wrote."""

from __future__ import annotations

from pydantic import ValidationError

from ocrpack.descriptor.format.model import Descriptor


def parse(data: bytes, file: str) -> Descriptor:
    """Return the descriptor that the bytes hold; `file` names them in the findings.

    Raises:
        DescriptorError: with every finding.
    """
    return _as_built(data) or _as_written(data, file)


def _as_built(data: bytes) -> Descriptor | None:
    """Return the descriptor if the bytes are just what `Descriptor.as_json` writes, as in every bundle."""
    try:
        descriptor = Descriptor.model_validate_json(data)
    except ValidationError:
        return None
    return descriptor if descriptor.as_json().encode() == data else None


def _as_written(data: bytes, file: str) -> Descriptor:
    # What words the findings takes longer to import than a small bundle takes to verify.
    from ocrpack.descriptor.load import read

    return read(data, file).sound()
