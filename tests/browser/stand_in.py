"""The endpoints that the page uses and the app may lack, in small, over the app's own POST /ocr."""

from __future__ import annotations

import io
import threading
import uuid
from typing import TYPE_CHECKING, Any

import pypdfium2
from flask import Flask, Response, request
from PIL import Image, ImageSequence

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT_OUTPUTS = ("text", "tsv", "hocr", "alto", "csv")


def complete(app: Flask) -> Flask:
    """Add to `app` whichever of these endpoints it has not."""
    there = {rule.rule for rule in app.url_map.iter_rules()}
    for path, add in {"/ocr/jobs": _jobs, "/ocr/preview": _preview, "/ocr/render": _render}.items():
        if path not in there:
            add(app)
    return app


def pictures(data: bytes) -> list[Image.Image]:
    """Return the pages of a PDF at 200 dpi, or the frames of an image."""
    if data.startswith(b"%PDF"):
        document = pypdfium2.PdfDocument(data)
        try:
            return [document[index].render(scale=200 / 72).to_pil() for index in range(len(document))]
        finally:
            document.close()
    return [frame.convert("RGB") for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _jobs(app: Flask) -> None:
    jobs: dict[str, dict[str, Any]] = {}

    def work(job: dict[str, Any], data: bytes) -> None:
        job["status"] = "running"
        try:
            images = pictures(data)
        except (OSError, pypdfium2.PdfiumError):
            job["problem"] = {"title": "The document is broken", "detail": "Its pages cannot be opened."}
            job["status"] = "failed"
            return
        job["progress"]["total"] = len(images)
        answers = []
        for image in images:
            if job["status"] == "cancelled":
                return
            page = encoded(image, "PNG")
            answers.append(app.test_client().post("/ocr", data=page, content_type="image/png").get_json())
            job["progress"]["done"] += 1
        pages = [answer["pages"][0] | {"index": index} for index, answer in enumerate(answers)]
        for number, page in enumerate(pages, 1):
            page |= {"page_number": number, "source_page": number}
        text = "\n\n".join(page["text"] for page in pages)
        job["answer"] = answers[0] | {"pages": pages, "text": text}
        job["status"] = "done"

    def shown(job: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in job.items() if name != "answer"}

    @app.post("/ocr/jobs")
    def submit() -> Any:
        job = {"id": uuid.uuid4().hex, "status": "queued", "progress": {"done": 0, "total": None}}
        job["output"] = request.values.get("output", "json")
        jobs[job["id"]] = job
        threading.Thread(target=work, args=(job, request.files["image"].read())).start()
        return shown(job), 202

    @app.get("/ocr/jobs/<name>")
    def look(name: str) -> Any:
        return shown(jobs[name])

    @app.get("/ocr/jobs/<name>/result")
    def result(name: str) -> Any:
        job = jobs[name]
        if job["output"] == "pdf":
            return Response(b"%PDF-1.7 searchable", mimetype="application/pdf")
        return job["answer"]

    @app.delete("/ocr/jobs/<name>")
    def cancel(name: str) -> Any:
        job = jobs.pop(name)
        job["status"] = "cancelled"
        return shown(job)


def _preview(app: Flask) -> None:
    @app.post("/ocr/preview")
    def preview() -> Response:
        image = pictures(request.get_data())[int(request.args["page"]) - 1]
        image.thumbnail((2000, 2000))
        return Response(encoded(image.convert("RGB"), "JPEG"), mimetype="image/jpeg")


def _render(app: Flask) -> None:
    @app.post("/ocr/render")
    def render() -> Any:
        output = request.args["output"]
        assert output in TEXT_OUTPUTS
        return Response(f"{output}\n{request.get_json()['answer']['text']}", mimetype="text/plain")


def guarded(app: Callable[..., Any], token: str) -> Callable[..., Any]:
    """Return a WSGI app that reads only for who brings the token; the page itself is free."""

    def guard(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        given = environ.get("HTTP_AUTHORIZATION")
        if environ["REQUEST_METHOD"] == "POST" and given != f"Bearer {token}":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Length", "0")])
            return [b""]
        return app(environ, start_response)

    return guard
