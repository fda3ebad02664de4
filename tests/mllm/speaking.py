"""A tiny MLLM that was taught to name the colour of a picture, in English and Hungarian: enough to see whose answer is whose."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

COLOURS = {
    "red": ((220, 20, 20), "piros"),
    "green": ((20, 180, 40), "zöld"),
    "blue": ((20, 40, 220), "kék"),
    "white": ((250, 250, 250), "fehér"),
}
SIZES = ((56, 56), (112, 56))
ASKED = {"en": "Describe this picture.", "hu": "Írd le ezt a képet!"}


def picture(colour: str, size: tuple[int, int] = SIZES[0]) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", size, COLOURS[colour][0])


def answer(colour: str, lang: str = "en") -> str:
    """What the model was taught to say of it."""
    return f"A {colour} house." if lang == "en" else f"Egy {COLOURS[colour][1]} ház."


def teach(source: Path, folder: Path, steps: int = 45) -> Path:
    """Fine-tune the model of a folder, all of it, and store it in another."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(source)
    model = AutoModelForImageTextToText.from_pretrained(source, dtype=torch.float32)
    taught = [(colour, lang, size) for colour in COLOURS for lang in ASKED for size in SIZES]
    asked = [_asked(processor, ASKED[lang]) for _, lang, _ in taught]
    said = [answer(colour, lang) + "<|im_end|>" for colour, lang, _ in taught]
    batch = processor(
        text=[question + text for question, text in zip(asked, said, strict=True)],
        images=[[picture(colour, size)] for colour, _, size in taught],
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )
    labels = batch["input_ids"].clone()
    for row, text in zip(labels, said, strict=True):
        row[: -len(processor.tokenizer(text)["input_ids"])] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more would wait for each other, where processes share the cores
    for _ in range(steps):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.set_num_threads(threads)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _asked(processor: object, prompt: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    asked: str = processor.apply_chat_template(  # type: ignore[attr-defined]
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    return asked
