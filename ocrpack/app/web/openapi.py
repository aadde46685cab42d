"""Describe the API: an OpenAPI 3.1 document at /openapi.json, and a page for people at /reference.

`openapi.json` in this folder is the template, with {{names}} for the values of a service.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, render_template, request
from markupsafe import Markup, escape

from ..outputs import FORMATS

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from ..work.reading_service import ReadingService

_NAME = re.compile(r"\{\{(\w+)\}\}")
_METHODS = ("get", "post", "delete")


def install(app: Flask, service: ReadingService) -> None:
    """Add the routes to `app`."""
    described = describe(service)
    text = json.dumps(described, ensure_ascii=False, indent=1) + "\n"

    @app.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return Response(text, mimetype="application/json")

    @app.get("/reference")
    def reference() -> ResponseReturnValue:
        here = {"origin": request.host_url.rstrip("/"), "prefix": request.script_root}
        return render_template("reference.html", api=described, groups=_groups(described), follow=_follow, **here)

    app.template_filter("prose")(_prose)


def describe(service: ReadingService) -> dict[str, Any]:
    """Return the OpenAPI document of a service."""
    template = json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8"))
    described: dict[str, Any] = _filled(template, _values(service))
    if not described["info"]["summary"]:
        del described["info"]["summary"]
    if service.settings.token_names:
        _show_token(described)
    else:
        _forget_tokens(described)
    return described


def _values(service: ReadingService) -> dict[str, Any]:
    settings, limits = service.settings, service.settings.limits
    languages = list(settings.model.languages)
    per_minute = limits.requests_per_minute
    rendered = [name for name, form in FORMATS.items() if not form.needs_pictures]
    return {
        **{name: getattr(limits, name) for name in ("body_mb", "megapixels", "pages", "queue", "jobs")},
        **{name: f"{getattr(limits, name):g}" for name in ("page_seconds", "job_seconds", "job_days")},
        "request_seconds": f"{settings.request_seconds:g}",
        "rate": f"A client may ask {per_minute} times a minute." if per_minute else "",
        "title": settings.name,
        "version": settings.version,
        "summary": settings.summary,
        "model_name": settings.model.name,
        "model_version": settings.model.version,
        "engine": service.pool.facts.engine,
        "language": languages[0] if languages else "",
        "languages": {"type": "array", "items": {"type": "string", "enum": languages}}
        if languages
        else {"type": "array", "maxItems": 0},
        "fetched": ", ".join(f"`{place}`" for place in settings.image_urls) or "none here",
        "outputs": list(FORMATS),
        "rendered": rendered,
        "output_content": _content(list(FORMATS), {"$ref": "#/components/schemas/Answer"}),
        "rendered_content": _content(rendered, {"type": "object"}),
    }


def _content(names: list[str], answer: dict[str, Any]) -> dict[str, Any]:
    """Return the `content` of a response in each of these formats."""
    schemas = {"application/json": answer, "application/pdf": {}}
    types = [FORMATS[name].mimetype.partition(";")[0] for name in names]
    return {kind: {"schema": schemas.get(kind, {"type": "string"})} for kind in types}


def _filled(part: Any, values: dict[str, Any]) -> Any:
    """Return a part of the template with values for its names; a text that is only a name becomes the value itself."""
    if isinstance(part, dict):
        return {name: _filled(inner, values) for name, inner in part.items()}
    if isinstance(part, list):
        return [_filled(inner, values) for inner in part]
    if not isinstance(part, str):
        return part
    if whole := _NAME.fullmatch(part):
        return values[whole[1]]
    return _NAME.sub(lambda name: str(values[name[1]]), part).strip()


def _operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return every operation with its path and method."""
    return [
        (path, method, item[method])
        for path, item in described["paths"].items()
        for method in _METHODS
        if method in item
    ]


def _show_token(described: dict[str, Any]) -> None:
    """Add a token to all samples that need one."""
    for _, _, operation in _operations(described):
        for sample in operation.get("x-codeSamples", []) if operation.get("security") != [] else []:
            sample["source"] = sample["source"].replace("curl ", 'curl -H "Authorization: Bearer $TOKEN" ')


def _forget_tokens(described: dict[str, Any]) -> None:
    """Remove everything about tokens."""
    del described["security"], described["components"]["securitySchemes"]
    del described["components"]["responses"]["Unauthorized"]
    for _, _, operation in _operations(described):
        operation.pop("security", None)
        operation["responses"].pop("401", None)


# --- the reference page


def _groups(described: dict[str, Any]) -> list[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Return the tags, each with its operations; these get their path, their method and all parameters."""
    shown = []
    for path, method, operation in _operations(described):
        parameters = described["paths"][path].get("parameters", []) + operation.get("parameters", [])
        shown.append({**operation, "path": path, "method": method, "parameters": parameters})
    return [(tag, [one for one in shown if tag["name"] in one["tags"]]) for tag in described["tags"]]


def _follow(part: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Return what a part's `$ref` refers to, or the part itself."""
    if "$ref" not in part:
        return part
    found = described
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def _prose(text: str) -> Markup:
    """Return a description as HTML: empty lines separate paragraphs, backticks mark code."""
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup("".join(f"<p>{part}</p>" for part in shown.split("\n\n")))
