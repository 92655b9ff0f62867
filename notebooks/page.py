"""A notebook as a page of its own, which needs neither network nor scripts."""

import html
from pathlib import Path

import mistune
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import RustLexer

HERE = Path(__file__).resolve().parent
LIGHT, DARK = "xcode", "github-dark"  # what Pygments colours code with


def page(notebook):
    """The notebook's cells with their outputs, in light and dark as the reader prefers."""
    title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
    light, dark = (HtmlFormatter(style=style).get_style_defs(".code") for style in (LIGHT, DARK))
    style = f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
    style += (HERE / "page.css").read_text(encoding="utf-8")
    body = "\n".join(part for cell in notebook.cells for part in parts(cell))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def parts(cell):
    """The pieces of one cell, from top to bottom."""
    if cell.cell_type == "markdown":
        yield mistune.html(cell.source)
    elif cell.cell_type == "code" and cell.source.strip():
        code = highlight(cell.source, RustLexer(), HtmlFormatter(nowrap=True))
        yield f'<pre class="code" tabindex="0">{code}</pre>'
        yield from map(output, cell.outputs)


def output(shown):
    """What one output of a cell looks like."""
    if "data" in shown:
        rich = shown.data.get("text/html")
        if rich is not None:
            return f'<div class="shown" tabindex="0">{rich}</div>'
        text = shown.data.get("text/plain", "")
    elif shown.output_type == "error":
        text = f"{shown.ename}: {shown.evalue}"
    else:
        text = shown.text
    wrong = shown.output_type == "error" or shown.get("name") == "stderr"
    return f'<pre class="{"wrong" if wrong else "text"}" tabindex="0">{html.escape(text)}</pre>'
