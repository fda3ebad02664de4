"""`mella data`: its commands, each of a file of its own."""

from __future__ import annotations

import typer

from mella_retrieval.cli import (
    data_card,
    data_check,
    data_collect,
    data_compose,
    data_download,
    data_export,
    data_import,
    data_ling,
    data_stats,
    data_texts,
)

app = typer.Typer(no_args_is_help=True, help="Records: import, collect and make them, mix and split them, look at them.")
app.command("import")(data_import.import_)
app.command()(data_check.check)
app.command()(data_stats.stats)
app.command()(data_collect.look)
app.command()(data_card.card)
app.command()(data_download.download)
app.command()(data_collect.collect)
app.command()(data_ling.ling)
app.command()(data_compose.compose)
app.command()(data_export.export)
app.command()(data_texts.sentences)
app.command()(data_texts.keywords)
