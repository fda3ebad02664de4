"""The card (`README.md`) of a fine-tuned model."""

from __future__ import annotations

import json

from mella_retrieval.artifacts import Json
from mella_retrieval.mllm.sft.report import SftReport


def write_card(report: SftReport, made_by: Json) -> str:
    """Markdown with a metadata head: what was trained on what, how it went, how it is loaded."""
    (base, revision), recipe = _named(made_by["base"]["name"]), made_by["recipe"]
    trained_on = report.prepared.trained_on
    languages = sorted({lang for of in trained_on.values() for lang in of})
    whole = report.method == "full" or recipe["save"] == "merged"
    lines = [
        "---",
        f"base_model: {json.dumps(base)}",
        "pipeline_tag: image-text-to-text",
        f"library_name: {'transformers' if whole else 'peft'}",
        f"language: {json.dumps(languages)}",
        "tags: [mella-retrieval, sft]",
        "---",
        f"# {base.rpartition('/')[2]}, fine-tuned on {', '.join(languages)}",
        "",
        _method(report, recipe, whole),
        "",
        "| source | language | conversations |",
        "|---|---|---:|",
        *(
            f"| {source} | {lang} | {count:,} |"
            for source, of in sorted(trained_on.items())
            for lang, count in sorted(of.items())
        ),
        "",
        f"{report.steps:,} steps of {recipe['batch']} conversations, learning rate {recipe['learning_rate']:g} "
        f"({recipe['schedule']}), weight decay {recipe['weight_decay']:g}, seed {recipe['seed']}; the loss is on the answer and "
        f"its end mark only. {_pictures(recipe)}",
        "",
        *_losses(report),
        *_skipped(report),
        "",
        "```python",
        *_how_to_load(base, revision, whole),
        "```",
        "",
        "All settings and hashes stand in `manifest.json`, the course of training in `log.jsonl`. What the base learnt, its "
        "prejudices and gaps too, is still in it; its licence applies. Training on one skill can cost others: measure them "
        "(`mella score`).",
        "",
    ]
    return "\n".join(lines)


def _method(report: SftReport, recipe: Json, whole: bool) -> str:
    frozen = ", ".join({"vision": "vision tower", "connector": "connector"}[part] for part in recipe["frozen"]) or "nothing"
    how = {
        "lora": f"LoRA of rank {recipe['lora']['rank']}, alpha {recipe['lora']['alpha']:g}",
        "qlora": f"LoRA of rank {recipe['lora']['rank']}, alpha {recipe['lora']['alpha']:g}, on weights in 4 bits",
        "full": "All weights of the parts that are not frozen",
    }[report.method]
    kept = "the whole model" if whole else "the additions alone, to be put onto the base"
    return (
        f"{how}: {report.trained_parameters:,} of {report.parameters:,} parameters trained; frozen: {frozen}. "
        f"This folder holds {kept}."
    )


def _pictures(recipe: Json) -> str:
    if not recipe["images"]:
        return "**A control: it was asked without being shown the pictures.**"
    limits = [f"{name} {value:,}" for name, value in recipe["picture"].items() if value]
    return f"Pictures were shown with {', '.join(limits)}." if limits else "Pictures were shown as they are."


def _losses(report: SftReport) -> list[str]:
    first, held_out = report.losses(), report.losses("eval_loss")
    lines = [f"Loss on trained texts: {first[0]:.3f} at first, {first[-1]:.3f} at last."] if first else []
    if held_out:
        lines.append(
            f"Loss on {report.prepared.evaluation:,} held-out texts: {held_out[0]:.3f} before, {held_out[-1]:.3f} after training."
        )
    return lines


def _skipped(report: SftReport) -> list[str]:
    counts = report.prepared.skipped
    if not counts:
        return []
    listed = ", ".join(f"{count:,} x {reason}" for reason, count in counts.items())
    return ["", f"Not used ({sum(counts.values()):,} records, each listed in `skipped.csv`): {listed}."]


def _named(base: str) -> tuple[str, str]:
    """Name and revision; the name of a folder has neither `/` nor a revision."""
    name, _, revision = base.partition("@") if "/" in base else (base, "", "")
    return name, revision


def _how_to_load(base: str, revision: str, whole: bool) -> list[str]:
    if whole:
        return [
            "from transformers import AutoModelForImageTextToText, AutoProcessor",
            'model = AutoModelForImageTextToText.from_pretrained("this-folder")',
            'processor = AutoProcessor.from_pretrained("this-folder")',
        ]
    arguments = [json.dumps(base if "/" in base else f"path/to/{base}")]
    arguments += [f"revision={json.dumps(revision)}"] if revision else []
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForImageTextToText, AutoProcessor",
        f"base = AutoModelForImageTextToText.from_pretrained({', '.join(arguments)})",
        'model = PeftModel.from_pretrained(base, "this-folder")',
        'processor = AutoProcessor.from_pretrained("this-folder")',
    ]
