"""What must hold between a descriptor's values, and no schema states; nothing here touches a disk."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet

from ocrpack.descriptor.format.model import Descriptor
from ocrpack.descriptor.format.values import FETCHED, RELEASES, WHEEL_FILE
from ocrpack.descriptor.source import JsonPath, Located, pointer, shown
from ocrpack.errors import Finding

RESTS_ON: dict[str, tuple[JsonPath, ...]] = {
    "credential-in-env": (("secrets",),),
    "late-bound": (("app", "request_seconds"),),
    "memory": (("resources", "memory_mb"),),
    "no-inference": (("samples",),),
    "no-language-weight": (("model", "weights"),),
    "port-twice": (("port",),),
    "secret-in-env": (("env",),),
    "threads-unused": (("app", "interface"),),
}
"""What a check looks at besides the value that its finding speaks of: where that is bad, the finding may be wrong."""

_CREDENTIAL_NAME = re.compile(
    r"(?i)(^|_)(token|secret|password|passwd|pwd|credentials?|private_?key|api_?key|access_?key)s?$"
)
_CREDENTIAL = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_\w{20}|github_pat_\w{20}|glpat-[\w-]{16}|hf_[A-Za-z]{20}|sk-[\w-]{20}|xox[abprs]-[\w-]{10}"
    r"|AIza[\w-]{30}|eyJ[\w-]{10,}\.eyJ|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@"
)


def findings(descriptor: Descriptor) -> Iterator[Located]:
    """Yield what the descriptor's values have against one another."""
    yield from chain(
        _address(descriptor),
        _endpoints(descriptor),
        _environment(descriptor),
        _python(descriptor),
        _resources(descriptor),
        _samples(descriptor),
        _system_packages(descriptor),
        _weights(descriptor),
    )


def duplicates(code: str, what: str, entries: Iterable[tuple[JsonPath, Hashable]]) -> Iterator[Located]:
    """Yield a finding for each entry that another one before it equals."""
    seen: dict[Hashable, JsonPath] = {}
    for path, entry in entries:
        first = seen.setdefault(entry, path)
        if first != path:
            message = f"{what} stands twice: the first is {pointer(first)}"
            yield path, Finding(code, message, "remove one of the two")


def _address(descriptor: Descriptor) -> Iterator[Located]:
    host = descriptor.host
    if not _is_host(host):
        remedy = 'write the address alone, such as "127.0.0.1", and the port as "port"'
        message = f"host is {shown(host)}, which is no host name or address"
        yield ("host",), Finding("bad-host", message, remedy, expected="a host name or an IP address", got=shown(host))
    stated = descriptor.env.get("PORT")
    if stated is not None and stated.strip() != str(descriptor.port):
        message = f"the port is stated twice: port is {descriptor.port}, and env has PORT={shown(stated)}"
        yield (
            ("env", "PORT"),
            Finding("port-twice", message, "remove PORT from env; `port` is what the server listens on"),
        )


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(re.fullmatch(r"(?=.{1,253}$)[\w-]{1,63}(\.[\w-]{1,63})*", host))
    return True


def _endpoints(descriptor: Descriptor) -> Iterator[Located]:
    entries = list(enumerate(descriptor.endpoints))
    pairs = ((("endpoints", i), (endpoint.path, endpoint.method)) for i, endpoint in entries)
    yield from duplicates("duplicate-endpoint", "the endpoint", pairs)
    purposes = ((("endpoints", i, "purpose"), e.purpose) for i, e in entries if e.purpose in ("health", "ready"))
    yield from duplicates("duplicate-purpose", "the purpose", purposes)
    for i, endpoint in entries:
        allowed = {"inference": ("POST", "PUT"), "health": ("GET",), "ready": ("GET",)}.get(endpoint.purpose)
        if allowed and endpoint.method not in allowed:
            expected = " or ".join(allowed)
            message = f"an endpoint for {endpoint.purpose} answers {expected}, not {endpoint.method}"
            finding = Finding("endpoint-method", message, f'write "method": "{allowed[0]}"', expected=expected)
            yield ("endpoints", i, "method"), finding
    if descriptor.samples and not descriptor.endpoint("inference"):
        remedy = 'add {"path": "/ocr", "method": "POST", "purpose": "inference"}'
        yield (
            ("endpoints",),
            Finding("no-inference", "there are samples, but no inference endpoint to send them to", remedy),
        )
    if not descriptor.endpoint("ready", "health"):
        remedy = 'add {"path": "/healthz", "purpose": "health"}'
        yield ("endpoints",), Finding("no-probe", "no endpoint tells whether the app is up", remedy)


def _environment(descriptor: Descriptor) -> Iterator[Located]:
    names = ((("secrets", i), name) for i, name in enumerate(descriptor.secrets))
    yield from duplicates("duplicate-secret", "the secret", names)
    for i, name in enumerate(descriptor.secrets):
        if name in descriptor.env:
            message = f"{name} is a secret, yet its value stands in env, which anyone with the bundle can read"
            yield (
                ("secrets", i),
                Finding("secret-in-env", message, "remove it from env, and change the secret if it was real"),
            )
    if descriptor.app.tls and descriptor.app.interface != "wsgi":
        message = f"tls has no effect on an app of the interface {descriptor.app.interface}"
        yield ("app", "tls"), Finding("tls-unused", message, "remove it, and put a proxy with TLS before the app")
    for i, name in enumerate(descriptor.app.tokens):
        if name not in descriptor.secrets:
            message = f"{name} is to hold tokens, but it is not among the secrets, so it would have no value"
            yield ("app", "tokens", i), Finding("token-no-secret", message, f'add "{name}" to secrets')
    for name, value in descriptor.env.items():
        if name not in descriptor.secrets and looks_secret(name, value):
            message = f"the value of {name} ({len(value)} characters) looks like a credential, for every reader to see"
            remedy = "list the name in secrets, and remove it from env"
            yield ("env", name), Finding("credential-in-env", message, remedy, severity="warning")


def looks_secret(name: str, value: str) -> bool:
    """Tell whether an environment variable looks like a credential, by its name or the beginning of its value."""
    named = _CREDENTIAL_NAME.search(name) and len(value) >= 8 and not value.startswith(("/", "./", "$", "~"))
    return bool(named or _CREDENTIAL.search(value[:4096]))


def _python(descriptor: Descriptor) -> Iterator[Located]:
    met = list(SpecifierSet(descriptor.python).filter(RELEASES, prereleases=True))
    got = shown(descriptor.python)
    if not met:
        message = f"no Python meets {got} (the one that runs ocrpack does not matter here)"
        yield ("python",), Finding("python-unmet", message, 'write a specifier such as ">=3.11,<3.14"', got=got)
    elif len(met) == 1:
        message = f"{got} is met by Python {met[0]} alone"
        remedy = f'write "=={met[0].rpartition(".")[0]}.*" for every patch release'
        yield ("python",), Finding("python-narrow", message, remedy, got=got, severity="warning")


def _resources(descriptor: Descriptor) -> Iterator[Located]:
    app, resources = descriptor.app, descriptor.resources
    needed, recommended = resources.memory_mb, resources.memory_recommended_mb
    if needed and recommended and recommended < needed:
        message = f"memory_recommended_mb ({recommended}) is less than what is needed, memory_mb ({needed})"
        yield ("resources", "memory_recommended_mb"), Finding("memory", message, f"write {needed} or more")
    if "threads" in app.model_fields_set and app.interface != "wsgi":
        message = f"threads has no effect on an app of the interface {app.interface}"
        yield ("app", "threads"), Finding("threads-unused", message, "remove it; set workers", severity="warning")
    if resources.gpu and (app.workers or 1) > 1:
        message = f"{app.workers} workers load the model onto the GPU {app.workers} times"
        yield ("app", "workers"), Finding("gpu-workers", message, "write 1, and more threads", severity="warning")


def _samples(descriptor: Descriptor) -> Iterator[Located]:
    samples = list(enumerate(descriptor.samples))
    if not samples:
        message = "there are no samples: deploy can tell that the app is up, but not that its text is right"
        yield ("samples",), Finding("no-samples", message, "add an image with its true text", severity="warning")
    images = ((("samples", i, "image"), sample.image) for i, sample in samples)
    yield from duplicates("duplicate-sample", "the image", images)
    for i, sample in samples:
        if sample.text is None and sample.text_file is None:
            remedy = 'add "text" or "text_file"'
            yield ("samples", i), Finding("no-truth", f"the sample {shown(sample.image)} has no true text", remedy)
        if sample.text is not None and sample.text_file is not None:
            message = f"the sample {shown(sample.image)} has its true text twice, as text and as text_file"
            yield ("samples", i, "text_file"), Finding("truth-twice", message, "remove one of the two")
        if sample.text is not None and not sample.text.strip():
            message = "the true text is empty: no error rate can be computed"
            yield ("samples", i, "text"), Finding("empty-truth", message, "write the text that the image shows")
        if sample.max_cer >= 1:
            message = "a character error rate of 1 lets an empty answer pass"
            remedy = "write what the engine reaches on this image and a little more, such as 0.05"
            yield ("samples", i, "max_cer"), Finding("loose-bound", message, remedy, severity="warning")
        if sample.max_seconds > descriptor.app.request_seconds and "max_seconds" in sample.model_fields_set:
            limit = descriptor.app.request_seconds
            message = f"a request is ended after {limit:g} seconds (app.request_seconds), before this time is up"
            remedy = f"write {limit:g} or less, or raise app.request_seconds"
            yield ("samples", i, "max_seconds"), Finding("late-bound", message, remedy, severity="warning")


def _system_packages(descriptor: Descriptor) -> Iterator[Located]:
    for i, package in enumerate(descriptor.system_packages):
        if package.program is None and package.library is None:
            message = f"nothing shows whether {shown(package.name)} is installed"
            remedy = 'add "program" (on PATH) or "library" (such as "libGL.so.1")'
            yield ("system_packages", i), Finding("no-evidence", message, remedy)


def _weights(descriptor: Descriptor) -> Iterator[Located]:
    weights = list(enumerate(descriptor.model.weights))
    paths = ((("model", "weights", i, "path"), weight.path.casefold()) for i, weight in weights)
    yield from duplicates("duplicate-weight", "the weight", paths)
    for i, weight in weights:
        path: JsonPath = ("model", "weights", i)
        places = weight.places if weight.source else ()
        for j, place in enumerate(places):
            finding = _weight_source(place)
            if finding:
                yield (*path, "source", *((j,) if isinstance(weight.source, tuple) else ())), finding
        if weight.sha256 is None and any(place.lower().startswith(FETCHED) for place in places):
            message = "a weight that is fetched needs its sha256: an address may serve another file tomorrow"
            remedy = 'fetch it once, and add "sha256" from `sha256sum FILE`'
            yield (*path, "sha256"), Finding("no-digest", message, remedy)
    if descriptor.app.engine == "tesseract":
        yield from _languages(descriptor)


def _weight_source(place: str) -> Finding | None:
    if place.startswith("wheel:"):
        message, remedy = (
            "this names no file of a wheel",
            "write wheel:NAME==VERSION/PATH, PATH as the wheel has it",
        )
        return None if WHEEL_FILE.fullmatch(place) else Finding("bad-source", message, remedy, got=shown(place))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", place)
    if not scheme:
        return None
    if scheme.group(1).lower() != "https":
        message = f"a weight is fetched over https alone, not {scheme.group(1)}"
        return Finding("insecure-source", message, "write an https address, or a path", got=shown(place))
    try:
        complete = bool(urlsplit(place).hostname)
    except ValueError:
        complete = False
    if not complete:
        return Finding("bad-source", "the address names no host", "write https://HOST/PATH", got=shown(place))
    return None


def _languages(descriptor: Descriptor) -> Iterator[Located]:
    packed = {weight.path for weight in descriptor.model.weights}
    for i, language in enumerate(descriptor.model.languages):
        name = f"{language}.traineddata"
        if not any(path == name or path.endswith("/" + name) for path in packed):
            message = f"no weight holds the language {shown(language)}"
            remedy = f'add a weight whose path ends in "{name}", or remove the language'
            if "+" in language:
                remedy = "write each language by itself: " + shown(language.split("+")[0]) + ", ..."
            yield ("model", "languages", i), Finding("no-language-weight", message, remedy, expected=shown(name))
