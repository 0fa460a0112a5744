"""Cost against size, as an SVG that is the same for the same figures."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.figures import Curve, Results

MARKERS = "osD^vP"


def plot(results: Results, path: Path) -> None:
    """Write the plot."""
    panels = [
        ("microseconds per ping", 1e6, results.ping_curves),
        ("seconds per scrape", 1.0, results.scrape_curves),
    ]
    style = {"svg.hashsalt": "heartbeat-exporter", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(style):
        shown = [panel for panel in panels if panel[2]]
        figure = Figure(figsize=(5.5 * len(shown), 4.4), layout="constrained")
        axes = figure.subplots(1, len(shown), squeeze=False)
        for axis, (title, factor, curves) in zip(axes[0], shown, strict=True):
            _draw(axis, title, factor, curves)
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def _draw(axis: Any, title: str, factor: float, curves: Sequence[Curve]) -> None:
    for curve, marker in zip(curves, MARKERS, strict=False):
        sizes = sorted(curve.points)
        middles = [statistics.median(curve.points[size]) * factor for size in sizes]
        below = [middle - min(curve.points[size]) * factor for size, middle in zip(sizes, middles, strict=True)]
        above = [max(curve.points[size]) * factor - middle for size, middle in zip(sizes, middles, strict=True)]
        dashes = "--" if curve.label.endswith("gzip") else "-"
        drawn = axis.errorbar(
            sizes,
            middles,
            yerr=[below, above],
            label=curve.label,
            marker=marker,
            markersize=4,
            linestyle=dashes,
            capsize=2,
        )
        if len(sizes) == 1:  # measured once, since it does not depend on the number
            axis.axhline(middles[0], color=drawn.lines[0].get_color(), linewidth=1, linestyle=":")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("heartbeats, or groups")
    axis.set_title(title)
    axis.grid(visible=True, which="major", alpha=0.3)
    axis.legend(fontsize=7)
