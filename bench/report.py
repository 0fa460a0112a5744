"""What was measured, for people and for programs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure, Results, Target, number
from bench.machine import in_words

HEAD = ("", "figure", "heartbeats", "median", "least to greatest", "target", "aim", "")
RIGHT = (0, 2, 3, 4, 5, 6)
"""Columns of numbers."""


def rows(figures: Sequence[Figure], *, judged: bool) -> list[tuple[str, ...]]:
    """The table, its head first."""
    return [
        HEAD,
        *(
            (
                str(row),
                figure.target.text,
                f"{figure.heartbeats:,}",
                _shown(figure.value, figure.target),
                f"{number(min(figure.values))} to {number(max(figure.values))}",
                f"{figure.target.sign} {_shown(figure.target.bound, figure.target)}",
                f"{figure.target.sign} {_shown(figure.target.aim, figure.target)}",
                figure.verdict(judged=judged).value,
            )
            for row, figure in enumerate(figures, start=1)
        ),
    ]


def table(figures: Sequence[Figure], *, judged: bool) -> str:
    """For a terminal."""
    cells = rows(figures, judged=judged)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    notes = [f"{row:>2}: {figure.note}" for row, figure in enumerate(figures, start=1)]
    return "\n".join([*("  ".join(_padded(row, widths)).rstrip() for row in cells), "", *notes])


def markdown(figures: Sequence[Figure], told: dict[str, Any], *, judged: bool) -> str:
    """For the docs."""
    head, *body = rows(figures, judged=judged)
    rule = ["---:" if column in RIGHT else "---" for column in range(len(head))]
    lines = [f"| {' | '.join(row)} |" for row in (head, rule, *body)]
    notes = [f"{row}. {figure.note}" for row, figure in enumerate(figures, start=1)]
    return "\n".join([*lines, "", *notes, "", in_words(told), ""])


def write(results: Results, told: dict[str, Any], folder: Path, *, judged: bool) -> None:
    """Write results.json and results.md."""
    everything = {
        **told,
        "figures": [figure.as_json(judged=judged) for figure in results.figures],
        "seconds_per_ping": [curve.as_json() for curve in results.ping_curves],
        "seconds_per_scrape": [curve.as_json() for curve in results.scrape_curves],
    }
    (folder / "results.json").write_text(json.dumps(_rounded(everything), indent=2, ensure_ascii=False) + "\n")
    (folder / "results.md").write_text(markdown(results.figures, told, judged=judged))


def _shown(value: float, target: Target) -> str:
    return f"{number(value)} {target.unit}".rstrip()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _padded(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        cell.rjust(width) if column in RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
