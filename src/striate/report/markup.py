"""Pieces of HTML whose every word is escaped: names come from users and files."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from striate.report.canvas import Picture

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for a page: nothing from outside it, and no script."""


def document(
    title: str,
    under: Iterable[object],
    sections: Mapping[str, tuple[str, Iterable[str]]],
    lead: str = "",
    foot: str = "",
) -> str:
    """A whole page that needs nothing beside it: header, links, `lead`, what sections are filled.

    `sections` has a title and parts by name.
    """
    shown = {n: (t, section(n, t, parts)) for n, (t, parts) in sections.items()}
    shown = {n: entry for n, entry in shown.items() if entry[1]}
    links = "".join(f'<a href="#{n}">{text(t)}</a>' for n, (t, _) in shown.items())
    style = resources.files("striate.report").joinpath("style.css").read_text("utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">
<title>{text(title)} · striate</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>{text(title)}</h1>
{paragraph(" · ".join(str(u) for u in under if u), "soft")}
<nav aria-label="Sections">{links}</nav>
</header>
{lead}
{chr(10).join(body for _, body in shown.values())}
<footer>{paragraph(foot)}</footer>
</main>
</body>
</html>
"""


def text(value: object) -> str:
    """Any value as harmless HTML text; characters that no page may hold are replaced."""
    kept = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in str(value)
    )
    return html.escape(kept, quote=True)


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph."""
    return f"<p{_kind(kind)}>{text(words)}</p>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    words: Iterable[int] = (0,),
    strong: Iterable[int] = (),
) -> str:
    """A table whose columns `words` are text and the others numbers.

    Columns without any entry are left out; `strong` are rows to stress.
    """
    lines = [[text(cell) for cell in row] for row in rows]
    kept = [
        k for k in range(len(head)) if k == 0 or any(line[k] not in ("", "–") for line in lines)
    ]
    stressed, texts = set(strong), set(words)

    def cell(k: int, content: str) -> str:
        if k == 0:
            return f'<th scope="row">{content}</th>'
        return f"<td{_kind('' if k in texts else 'n')}>{content}</td>"

    top = "".join(
        f'<th scope="col"{_kind("" if k in texts else "n")}>{text(head[k])}</th>' for k in kept
    )
    body = "\n".join(
        f"<tr{_kind('strong' if i in stressed else '')}>"
        + "".join(cell(k, line[k]) for k in kept)
        + "</tr>"
        for i, line in enumerate(lines)
    )
    told = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{told}<thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def figure(drawn: Picture | None) -> str:
    """A figure with its dark twin, both inside the page; nothing where there is none."""
    if drawn is None:
        return ""
    width, height = drawn.size
    return (
        "<figure><picture>"
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{inline(drawn.dark)}">'
        f'<img src="{inline(drawn.light)}" alt="{text(drawn.alt)}" width="{width // 2}"'
        f' height="{height // 2}">'
        f"</picture><figcaption>{text(drawn.caption)}</figcaption></figure>"
    )


def folded(title: str, content: str) -> str:
    """Content that opens on a click."""
    if not content:
        return ""
    return f"<details><summary>{text(title)}</summary>\n{content}\n</details>"


def section(name: str, title: str, parts: Iterable[str]) -> str:
    """A section of the page; nothing when all its parts are empty."""
    content = "\n".join(p for p in parts if p)
    return (
        f'<section id="{name}">\n<h2>{text(title)}</h2>\n{content}\n</section>' if content else ""
    )


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Numbers at a glance: (what, number, note)."""
    found = "".join(
        f"<div><dt>{text(what)}</dt><dd>{text(value)}"
        + (f"<small>{text(note)}</small>" if note else "")
        + "</dd></div>"
        for what, value, note in entries
    )
    return f'<dl class="tiles">{found}</dl>' if found else ""


def inline(png: bytes) -> str:
    """A picture as an address that holds all of it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _kind(name: str) -> str:
    return f' class="{name}"' if name else ""
