"""What a bundle's samples measured when it was built, as `measured.json` states it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrpack.errors import BundleError

MEASURED = "measured.json"
_Rate = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_Figure = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Machine(_Part):
    """The machine that it was measured on."""

    python: str
    platform: str
    processors: _Figure


class MeasuredSample(_Part):
    """One sample: its character and word error rate, and the seconds that its answer took."""

    image: str
    cer: _Rate
    wer: _Rate
    seconds: _Figure


class Measured(_Part):
    """Seconds until the app was ready, peak memory of its processes in MiB, and the samples."""

    machine: Machine
    ready_seconds: _Figure
    peak_memory_mb: Annotated[int, Field(ge=0)]
    samples: tuple[MeasuredSample, ...]

    @property
    def data(self) -> bytes:
        """The document as it stands in the bundle."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def parse(data: bytes) -> Measured:
    """Read `measured.json`.

    Raises:
        BundleError: it is none.
    """
    try:
        return Measured.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{MEASURED}: {place}: {first['msg']}", "build the bundle anew with --test") from None
