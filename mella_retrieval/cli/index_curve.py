"""The curve of recall against latency of a tuned index as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mella_retrieval.errors import ConfigError

if TYPE_CHECKING:
    from mella_retrieval.indexes.auto.curve import Curve

FORMATS = (".png", ".svg")


def draw_curve(curve: Curve, path: Path) -> None:
    """Draw recall over milliseconds per query, with the wanted recall and the chosen point.

    Args:
        curve: as it stands in the manifest of an index.
        path: of the picture, `.png` or `.svg`.

    Raises:
        ConfigError: another kind of file, or it cannot be written.
    """
    from matplotlib.figure import Figure

    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a curve is drawn as {' or '.join(FORMATS)}.")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    points = sorted(curve.points, key=lambda point: point.ms_per_query)
    axes.plot([p.ms_per_query for p in points], [p.recall for p in points], color="#0969da", marker="o", markersize=4)
    before: dict[str, int] = {}
    for place, point in enumerate(points):
        changed = {name: value for name, value in point.parameters.items() if before.get(name) != value}
        label, before = ", ".join(f"{name}={value}" for name, value in changed.items()), point.parameters
        offset = (4, -11 if place % 2 else 5)
        axes.annotate(label, (point.ms_per_query, point.recall), offset, textcoords="offset points", fontsize=7, color="#59636e")
    chosen = next(point for point in curve.points if point.parameters == curve.chosen)
    axes.plot([chosen.ms_per_query], [curve.recall], marker="D", color="#bc4c00", linestyle="", label="chosen, held out")
    axes.axhline(curve.wanted, color="#8c959f", linewidth=0.8, linestyle="--", label=f"wanted: {curve.wanted}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(labelsize=8, which="both")
    axes.set_xlabel(f"ms a query, asked alone ({curve.cores} cores)")
    axes.set_ylabel(f"recall@{curve.k} on {curve.tuned_on} text queries")
    axes.set_title(f"{curve.factory}, {curve.items:,} items", fontsize=10)
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from None
