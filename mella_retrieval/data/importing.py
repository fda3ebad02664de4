"""Import: a source in any known format becomes a records folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mella_retrieval.data.formats import READERS, Format, detect, find_format, require_source
from mella_retrieval.data.formats.hugging_face import is_remote, on_disk
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import ImportReport, Progress, write_records
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.recipes import build_config, suggest


def import_records(
    source: Path | str,
    folder: Path | str,
    /,  # `source` is an option of tables too
    format: str = "auto",
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> ImportReport:
    """Read `source` and write what is usable of it as a records folder.

    Args:
        source: a file, a folder, or `hf:` and a name for `datasets.load_dataset`.
        folder: the new records folder.
        format: "auto" or one of `mella_retrieval.data.formats.READERS`.
        overwrite: replace a records folder that is already there.
        progress: called with (rows read, 0 = total not known).
        options: those of the format (for tables see `TableOptions`) and of every import (`ImportOptions`).

    Raises:
        ConfigError: an unknown format or option.
        DataError: the source cannot be read, or not one of its rows can be used.
        ArtifactError: the folder cannot be written.
    """
    source, folder = Path(source), Path(folder)
    name = detect(source) if format == "auto" else format
    chosen = find_format(name)
    require_source(source)
    _refuse_own_source(on_disk(source), folder)
    checks = {key: value for key, value in options.items() if key in ImportOptions.model_fields}
    import_options = build_config(ImportOptions, checks, "the import options")
    rest = {key: value for key, value in options.items() if key not in checks}
    _refuse_unknown(rest, chosen, name)
    format_options = build_config(chosen.options, rest, f"the options of the format {name}")
    if chosen.test_set:
        automatic = [key for key in ("duplicates", "control_characters") if getattr(import_options, key) == "auto"]
        import_options = import_options.model_copy(update=dict.fromkeys(automatic, "keep"))
    return write_records(
        folder,
        chosen.read(source, format_options),
        options=import_options,
        image_root=None if is_remote(source) else source if source.is_dir() else source.parent,
        made_by={"format": name, "options": {**format_options.model_dump(), **import_options.model_dump()}},
        overwrite=overwrite,
        progress=progress,
    )


def _refuse_own_source(source: Path | None, folder: Path) -> None:
    """Replacing the folder that is being read would destroy it."""
    target = folder.resolve()
    if source is not None and (target == source.resolve() or target in source.resolve().parents):
        raise DataError(f"the records folder {folder} would replace its own source {source}; choose another folder.")


def _refuse_unknown(options: dict[str, Any], chosen: Format, name: str) -> None:
    known = [*chosen.options.model_fields, *ImportOptions.model_fields]
    for key in options:
        if key not in known:
            others = [other for other, reader in READERS.items() if key in reader.options.model_fields]
            hint = f" It belongs to: {', '.join(others)}." if others else suggest(key, known)
            raise ConfigError(f"the format {name!r} has no option {key!r}.{hint} Options: {', '.join(known)}.")
