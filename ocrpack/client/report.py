"""Render scores as one self-contained HTML page with the pictures and the marked texts.

Any text in it may be hostile: it is escaped, and a content security policy allows the page's own script only.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ocrpack.client import pictures, score
from ocrpack.client.connection import UnreadableError
from ocrpack.client.evaluate import Result, Scores

_SIDE = 1000
"""Pixels of the longer side of a picture."""
_STATIC = Path(__file__).parent / "static"
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TAGS = {"same": ("", ""), "wrong": ("<del>", "</del>"), "extra": ("<ins>", "</ins>")}


def render_report(scores: Scores, title: str, about: str, worst: int = 30, most: int = 40) -> str:
    """Return the page; `about` says what was scored, where and when."""
    script, style = ((_STATIC / f"report.{kind}").read_text("utf-8") for kind in ("js", "css"))
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    by_rate = sorted(enumerate(scores.results), key=lambda one: -one[1].distance.cer)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{style}</style>\n"
        f'<h1>{_text(title)}</h1>\n<p class="about">{_text(about)}</p>\n'
        f"{_total(scores)}\n<h2>Files</h2>\n{_files(by_rate)}\n"
        f"<h2>Characters taken for others</h2>\n{_confusions(scores, most)}\n"
        f"<h2>Worst lines</h2>\n{_worst(scores, worst)}\n"
        f"<h2>Truth and reading</h2>\n{''.join(_details(*one, scores.ignore_case) for one in by_rate)}"
        f"<script>{script}</script>\n</html>\n"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str) -> str:
    """Return a text as HTML, with U+FFFD for control characters, which HTML may not hold."""
    return escape(_UNSHOWN.sub("\ufffd", text.encode("utf-8", "replace").decode()))


def _total(scores: Scores) -> str:
    total = scores.total
    facts = [
        ("Character error rate", f"{total.cer:.2%}"),
        ("Word error rate", f"{total.wer:.2%}"),
        ("Words found", f"{total.recall:.2%}"),
        ("Images", str(len(scores.results))),
        ("Characters", f"{total.characters:,}"),
        ("Seconds an image", f"{sum(one.seconds for one in scores.results) / max(1, len(scores.results)):.2f}"),
    ]
    if scores.failed:
        facts.append(("Not read", str(len(scores.failed))))
    return f'<dl class="total">{"".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)}</dl>'


def _files(results: Iterable[tuple[int, Result]]) -> str:
    heads = [("File", ""), ("CER", "number"), ("", ""), ("WER", "number"), ("Recall", "number"), ("Seconds", "number")]
    cells = "".join(_head(name, kind) for name, kind in heads)
    rows = "".join(_row(number, result) for number, result in results)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _head(name: str, kind: str) -> str:
    if not name:
        return "<td></td>"
    order = "descending" if name == "CER" else "none"
    return f'<th class="{kind}" aria-sort="{order}"><button type="button">{name}</button></th>'


def _row(number: int, result: Result) -> str:
    found = result.distance
    numbers = [f"{found.cer:.2%}", f"{found.wer:.2%}", f"{found.recall:.2%}", f"{result.seconds:.2f}"]
    values = [found.cer, found.wer, found.recall, result.seconds]
    cells = [
        f'<td class="number" data-value="{value:.6f}">{shown}</td>'
        for shown, value in zip(numbers, values, strict=True)
    ]
    bar = f'<td><meter min="0" max="1" low="0.05" high="0.2" optimum="0" value="{min(1, found.cer):.4f}"></meter></td>'
    cells.insert(1, bar)
    name = _text(result.image)
    return f'<tr><td class="text" data-value="{name}"><a href="#f{number}">{name}</a></td>{"".join(cells)}</tr>'


def _confusions(scores: Scores, most: int) -> str:
    rows = "".join(
        f'<tr><td>{_key(truth)}</td><td>{_key(read)}</td><td class="number">{count}</td></tr>'
        for (truth, read), count in scores.confusions.most_common(most)
    )
    return _table([("Truth", ""), ("Read as", ""), ("Times", "number")], rows)


def _key(character: str) -> str:
    if not character:
        return '<span class="none">nothing</span>'
    return "<kbd>space</kbd>" if character == " " else f"<kbd>{_text(character)}</kbd>"


def _worst(scores: Scores, most: int) -> str:
    rows = "".join(
        f'<tr><td class="text">{_texts(line.truth, line.read, scores.ignore_case)[0]}</td>'
        f'<td class="text">{_texts(line.truth, line.read, scores.ignore_case)[1]}</td>'
        f'<td class="number">{line.cer:.1%}</td><td class="text">{_text(line.image)}</td></tr>'
        for line in scores.worst(most)
    )
    return _table([("Truth", ""), ("Closest line read", ""), ("CER", "number"), ("File", "")], rows)


def _table(heads: Sequence[tuple[str, str]], rows: str) -> str:
    if not rows:
        return '<p class="none">none</p>'
    cells = "".join(f'<th class="{kind}">{name}</th>' for name, kind in heads)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _details(number: int, result: Result, ignore_case: bool) -> str:
    problem = f'<p class="problem">{_text(result.finding.message)}</p>' if result.finding else ""
    truth, read = _texts(result.pair.truth, result.text, ignore_case)
    return (
        f'<details id="f{number}"><summary>{_text(result.image)} <span>CER {result.distance.cer:.2%}</span></summary>'
        f'{problem}<div class="page"><div>{_pictures(result)}</div><div class="texts">'
        f"<div><h3>Truth</h3><pre>{truth}</pre></div><div><h3>Read</h3><pre>{read}</pre></div></div></div></details>\n"
    )


def _texts(truth: str, text: str, ignore_case: bool) -> tuple[str, str]:
    ours, theirs = score.marked(truth, text, ignore_case=ignore_case)
    one, other = (
        "".join(_TAGS[mark][0] + _text(piece) + _TAGS[mark][1] for mark, piece in side) for side in (ours, theirs)
    )
    return one, other


def _pictures(result: Result) -> str:
    shown = []
    try:
        for picture in pictures.annotated(result.pair.source, result.answer.pages if result.answer else ()):
            data = base64.b64encode(pictures.jpeg(picture, _SIDE)).decode()
            shown.append(f'<img loading="lazy" alt="" src="data:image/jpeg;base64,{data}">')
    except UnreadableError as error:
        shown.append(f'<p class="none">{_text(error.message)}</p>')
    return "".join(shown)
