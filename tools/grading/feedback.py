"""Pages for students, one page to mark from, and a picture of the class."""

from __future__ import annotations

import re
import zipfile
from html import escape
from pathlib import Path

import mistune
import numpy as np
from matplotlib.figure import Figure

from coursekit.checks.lab import Lab
from coursekit.figures import COLOURS, Picture, show
from tools.grading.submissions import Cell, printable

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
table { border-collapse: collapse }
td, th { padding: .3rem .7rem; border-bottom: 1px solid #bbb; text-align: left; vertical-align: top }
pre { white-space: pre-wrap; background: #f4f4f4; padding: .7rem }
img { max-width: 100% }
.beside { display: grid; grid-template-columns: 2fr 1fr; gap: 2rem }
.beside > div { min-width: 0; overflow-wrap: anywhere }
.guide { position: sticky; top: 0; align-self: start; background: #f4f4f4; padding: 0 .7rem }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'"  # an answer loads and runs nothing
_STATES = {"right": "right", "wrong": "not right", "open": "not answered", "failed": "could not be judged"}
_PASTED = 3_000_000  # characters of a picture that is shown
_render = mistune.create_markdown(escape=True, plugins=["table", "strikethrough"])


def write(output: Path, results: list[dict], lab: Lab, guides: dict[str, str], *, picture: bool = True) -> None:
    """Write ``feedback.zip``, ``index.html``, ``written.html`` and ``class.png`` below ``output``."""
    temporary = output / "feedback.tmp"
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for result in results:
            if result["counts"] and not result["missing"]:
                archive.writestr(f"{result['key']}.html", student_page(result, lab))
    temporary.replace(output / "feedback.zip")
    (output / "written.html").write_text(_written(results, lab, guides), encoding="utf-8")
    body = [f"<h1>{escape(lab.name)}: {escape(lab.title)}</h1>"]
    if picture:
        drawn = class_picture([result for result in results if result["counts"]], lab)
        drawn.save(output / "class.png")
        body.append(f'<p><img src="class.png" alt="{escape(drawn.alt)}"></p>')
    body.append('<p><a href="written.html">Answers to be read</a>, <a href="grades.csv">table</a></p>')
    body.append("<table><tr><th>submission</th><th>student</th><th>points</th><th>problems</th></tr>")
    for result in results:
        cells = (result["name"], result["who"], str(result["points"]), "; ".join(result["problems"])[:500])
        body.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    (output / "index.html").write_text(_page(f"{lab.name}: overview", [*body, "</table>"]), encoding="utf-8")


def student_page(result: dict, lab: Lab) -> str:
    """Return the page for one student: points and hints per question, what went wrong with the notebook."""
    rows = []
    for question in lab.questions.values():
        verdict = result["verdicts"].get(question.name)
        points, comment = result["marks"].get(question.name, (verdict["points"] if verdict else "&ndash;", ""))
        said = _STATES[verdict["state"]] if verdict else "not graded" if question.check else "read by your teacher"
        texts = [said, verdict["text"] if verdict else "", comment]
        cells = (question.name, question.title, ": ".join(text for text in texts if text))
        named, title, text = (escape(printable(cell, 1000)) for cell in cells)
        rows.append(f"<tr><td>{named}</td><td>{title}</td><td>{points} of {question.points}</td><td>{text}</td></tr>")
    most = sum(question.points for question in lab.questions.values())
    body = [
        f"<h1>{escape(lab.name)}: {escape(lab.title)}</h1>",
        f"<p>{escape(result['who'])}: <b>{result['total']} of {most} points</b>.</p>",
        "<table><tr><th>question</th><th></th><th>points</th><th>result</th></tr>",
        *rows,
        "</table>",
    ]
    if result["problems"]:
        items = "".join(f"<li>{escape(problem)}</li>" for problem in result["problems"])
        body.append(f"<h2>What happened when your notebook ran</h2><ul>{items}</ul>")
    return _page(f"{lab.name}: {result['who']}", body)


def class_picture(results: list[dict], lab: Lab) -> Picture:
    """Draw how points are distributed, and which share of the class has each question right."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    checked = [question for question in lab.questions.values() if question.check]
    most = sum(question.points for question in checked)
    points = [result["points"] for result in results]
    left.hist(points, bins=np.arange(most + 2) - 0.5, color=COLOURS[0])
    left.set(xlabel=f"points of {most}", ylabel="submissions", xlim=(-0.7, most + 0.7))
    left.yaxis.get_major_locator().set_params(integer=True)
    shares = {}
    for question in checked:
        states = [result["verdicts"].get(question.name, {}).get("state") == "right" for result in results]
        shares[question.name] = 100 * np.mean(states)
    hardest = min(shares, key=shares.get)
    colours = [COLOURS[1] if name == hardest else COLOURS[0] for name in shares]
    bars = right.bar(list(shares), list(shares.values()), color=colours)
    right.bar_label(bars, fmt="{:.0f}", padding=2)
    right.set(ylabel="right (%)", ylim=(0, 112), title=f"hardest: {hardest}")
    listed = ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
    return show(
        figure,
        alt=f"Left: how many of {len(results)} submissions reached how many of {most} points; the mean is "
        f"{np.mean(points):.1f}. Right: the share of right answers: {listed}. The hardest is {hardest}.",
    )


def _written(results: list[dict], lab: Lab, guides: dict[str, str]) -> str:
    body = [f"<h1>{escape(lab.name)}: answers to be read</h1>"]
    for question in lab.questions.values():
        if question.check:
            continue
        guide = f'<div class="guide">{_render(guides.get(question.name, "No guide."))}</div>'
        body.append(f"<h2>{question.name}: {escape(question.title)} ({question.points} points)</h2>")
        body.append('<div class="beside"><div>')
        for result in results:
            found = result["written"].get(question.name, {"cells": [], "note": ""})
            if not result["counts"] or result["missing"]:
                continue
            points, comment = result["marks"].get(question.name, ("no mark yet", ""))
            body.append(f"<h3>{escape(result['student'])}: {points} {escape(printable(comment, 1000))}</h3>")
            body.append(f"<p><i>{escape(found['note'])}</i></p>" if found["note"] else "")
            body += [f"<p><small>{escape(name)}</small></p>{_answer(cell)}" for name, cell in found["cells"]]
            body += [] if found["cells"] else ["<p>(no answer)</p>"]
        body.append(f"</div>{guide}</div>")
    return _page(f"{lab.name}: answers to be read", body)


def _answer(cell: Cell) -> str:
    """Render a cell of a stranger's; pictures that were pasted into it are shown."""
    text = printable(cell.source, 20_000, lines=True)
    if cell.kind == "code":
        return f"<pre>{escape(text)}</pre>"

    def pasted(match: re.Match) -> str:
        kinds = cell.attachments.get(match[1])
        for kind, data in kinds.items() if isinstance(kinds, dict) else ():
            data = "".join(map(str, data)) if isinstance(data, list) else str(data)
            if re.fullmatch(r"image/(png|jpeg|gif|webp)", kind) and re.fullmatch(r"[A-Za-z0-9+/=\s]+", data):
                return f"data:{kind};base64,{''.join(data[:_PASTED].split())}"
        return match[0]

    return _render(re.sub(r"attachment:([^)\s]+)", pasted, text))


def _page(title: str, body: list[str]) -> str:
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"
