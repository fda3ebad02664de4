"""Write the report of a result into its folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mella_retrieval.artifacts import atomic_write
from mella_retrieval.benchmarks.published import Published
from mella_retrieval.benchmarks.report.bars import bars
from mella_retrieval.benchmarks.report.breakdown import breakdowns
from mella_retrieval.benchmarks.report.drawing import Plot
from mella_retrieval.benchmarks.report.groups import GROUPINGS
from mella_retrieval.benchmarks.report.heatmap import Heatmap, heatmap
from mella_retrieval.benchmarks.report.naming import directions, headline_metrics
from mella_retrieval.benchmarks.report.page import Drawn, Page
from mella_retrieval.benchmarks.report.sheet import Examples
from mella_retrieval.benchmarks.report.spread import spread_plots
from mella_retrieval.benchmarks.report.standing import standing_plots, standings
from mella_retrieval.benchmarks.results import Result

REPORT, PLOTS = "report.html", "plots"


def write_report(
    folder: Path | str, result: Result, *, examples: Examples | None = None, published: Iterable[Published] = ()
) -> Path:
    """Write `report.html` and `plots/` into the folder of a result.

    Args:
        folder: where to; the files of the result itself are not touched.
        result: what to show.
        examples: the sheet of successes and failures (`examples.collect_examples`).
        published: numbers to stand beside it (`published.read_published`).

    Returns:
        The path of `report.html`.

    Raises:
        DataError: a picture is neither PNG nor JPEG.
    """
    folder, record = Path(folder), result.record
    metrics = headline_metrics(record)
    ways = [direction for direction in directions(record) if direction != "both"]
    found = standings(record, list(published), metrics)
    drawn = Drawn(
        bars=[bars(record, way, metric, grouping) for metric in metrics for grouping in GROUPINGS for way in ways],
        heatmaps=[heatmap(record, way, metric) for metric in metrics for way in ways],
        spread=spread_plots(result),
        standing=standing_plots(record, found, metrics),
        breakdowns=breakdowns(record, metrics),
    )
    page = Page(record, metrics, drawn, found, examples).html()
    for name, content in _files(drawn):
        with atomic_write(folder / PLOTS / name) as file:
            file.write(content)
    with atomic_write(folder / REPORT) as file:
        file.write(page.encode())
    return folder / REPORT


def _files(drawn: Drawn) -> Iterator[tuple[str, bytes]]:
    parts = [plot for found in drawn.breakdowns for plot in found.plots]
    plots: list[Plot | Heatmap] = [*drawn.bars, *drawn.heatmaps, *drawn.spread, *drawn.standing, *parts]
    for plot in plots:
        yield f"{plot.name}.svg", plot.svg
        yield f"{plot.name}.png", plot.png
