"""Fine-tuning and describing with a randomly initialised Qwen2-VL beside bare loops: tokens a second, memory, share of the peak.

    python benchmarks/performance/mllm.py                               # the shapes of Qwen2-VL-2B, on the GPU
    python benchmarks/performance/mllm.py --size small --device cpu     # to try the script itself

- Training: `fine_tune` (LoRA, everything from files: pictures decoded, conversations made, log and checkpoint written) beside a
  bare loop of the same model, LoRA and AdamW over batches that lie ready on the device. Tokens of both are those of whole
  conversations, pictures included, padding not.
- Describing: the captioner of `mella describe` (pictures made ready, answers decoded) beside `generate` on inputs that lie
  ready. Both write the same number of tokens.
- `of peak`: floating point operations that the language model's weights need (2 a weight and token forwards, 2 backwards to the
  activations; frozen weights get no gradient of their own; vision tower and attention are not counted), over those of a large
  product of matrices measured in the same run.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from mella_retrieval import languages
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.ling.contracts import Ask, Picture
from mella_retrieval.data.records import Records
from mella_retrieval.encoders.torch_towers import find_device
from mella_retrieval.mllm.captioners import captioners
from mella_retrieval.mllm.sft.recipe import SftRecipe
from mella_retrieval.mllm.sft.tuning import fine_tune
from mella_retrieval.pocket.models import tiny_qwen2_vl
from mella_retrieval.recipes import load_recipe

WORDS = ("house", "field", "river", "bread", "red", "blue", "large", "small", "people", "walk", "hold", "under", "before", "two")

# Shapes of the language model and the vision tower; "2b" has those of Qwen2-VL-2B but for its vocabulary's content.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "small": {
        "text": {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4},
        "vision": {"depth": 2, "embed_dim": 64, "hidden_size": 256, "num_heads": 2, "mlp_ratio": 2},
    },
    "2b": {
        "text": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "vocab_size": 151_936},
        "vision": {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4},
    },
}
HEADS = {
    "small": {"num_attention_heads": 4, "num_key_value_heads": 2},
    "2b": {"num_attention_heads": 12, "num_key_value_heads": 2},
}


@dataclass(frozen=True)
class Setting:
    """What is measured. Attributes: side: pixels of a picture. words: of an answer. written: tokens of a description."""

    device: torch.device
    precision: str
    batch: int
    steps: int
    side: int
    words: int
    written: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="2b")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--side", type=int, default=448, help="pixels of the pictures")
    parser.add_argument("--words", type=int, default=150, help="of an answer that is trained on")
    parser.add_argument("--written", type=int, default=128, help="tokens of a description")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    options = parser.parse_args()
    device = find_device(options.device)
    precision = "bf16" if device.type == "cuda" else "fp32"
    setting = Setting(device, precision, options.batch, options.steps, options.side, options.words, options.written)
    with tempfile.TemporaryDirectory() as temporary:
        lines = list(measure(options.size, setting, Path(temporary)))
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(size: str, setting: Setting, work: Path) -> Sequence[str]:
    """The table, as Markdown."""
    folder = random_model(size, work / "model")
    records = draw_records(work, setting)
    peak = multiplied_in_a_second(setting)
    weights = language_weights(folder)
    training = [("fine_tune", *ours_trained(folder, records, work / "tuned", setting))]
    training.append(("bare loop", *bare_trained(folder, records, setting)))
    pictures = [Picture(str(n), Image.open(path).convert("RGB")) for n, path in enumerate(paths_of(records)[: setting.batch])]
    describing = [("describe", *ours_described(folder, pictures, setting))]
    describing.append(("bare generate", *bare_described(folder, pictures, setting)))
    name = torch.cuda.get_device_name() if setting.device.type == "cuda" else platform.machine()
    about = (
        f"{name}, torch {torch.__version__}, {setting.precision}; {size}: {weights / 1e6:,.0f} M weights of the language model; "
    )
    about += f"batch {setting.batch}, pictures of {setting.side} pixels; products of matrices reach {peak / 1e12:.2f} TFLOP/s"
    rows = ["| what | tokens/s | ratio | of peak | peak memory, GiB |", "|---|---|---|---|---|"]
    for group, operations in ((training, 4), (describing, 2)):
        for what, speed, memory in group:
            share, gib = operations * weights * speed / peak, f"{memory / 2**30:.1f}" if memory else "-"
            rows.append(f"| {what} | {speed:,.0f} | {speed / group[1][1]:.2f} | {share:.1%} | {gib} |")
    return [about, "", *rows]


def random_model(size: str, folder: Path) -> Path:
    """A Qwen2-VL of random weights in the shapes of a size."""
    tiny = tiny_qwen2_vl(folder.with_name("tiny"), WORDS)
    config = AutoConfig.from_pretrained(tiny)
    for name, value in {**SIZES[size]["text"], **HEADS[size], "max_position_embeddings": 8192}.items():
        setattr(config.text_config, name, value)
    half = config.text_config.hidden_size // config.text_config.num_attention_heads // 2
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8]}
    config.text_config.rope_parameters = rope
    config.text_config.layer_types = ["full_attention"] * config.text_config.num_hidden_layers
    for name, value in SIZES[size]["vision"].items():
        setattr(config.vision_config, name, value)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16 if size == "2b" else torch.float32)
    model.generation_config.eos_token_id = None  # it writes as many tokens as it may
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    model.save_pretrained(folder)
    processor = AutoProcessor.from_pretrained(tiny)
    processor.image_processor.size = {"shortest_edge": 56 * 56, "longest_edge": 1024 * 1024}
    processor.save_pretrained(folder)
    return folder


def draw_records(work: Path, setting: Setting) -> Records:
    """Pictures of noise, texts of random words."""
    rng, words = np.random.default_rng(0), Random(0)
    lines = []
    (work / "pictures").mkdir()
    for number in range(setting.batch * setting.steps):
        path = work / "pictures" / f"{number}.jpg"
        Image.fromarray(rng.integers(0, 255, (setting.side, setting.side, 3), np.uint8)).save(path, quality=50)
        lines.append(f"{number},pictures/{number}.jpg,{' '.join(words.choices(WORDS, k=setting.words))},en,ling")
    (work / "table.csv").write_text("\n".join(["image_id,image,text,lang,source", *lines]) + "\n", encoding="utf-8")
    import_records(work / "table.csv", work / "records")
    return Records.load(work / "records")


def paths_of(records: Records) -> list[Path]:
    """The pictures' files."""
    return [records.image_path(image) for image in records.table(["image"])["image"].to_pylist()]


def language_weights(folder: Path) -> int:
    """Weights that every token is multiplied with: the language model's without its table of embeddings, and the head."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    inner = sum(one.numel() for name, one in model.named_parameters() if "language_model" in name and "embed" not in name)
    return inner + int(model.get_input_embeddings().weight.numel())


def ours_trained(folder: Path, records: Records, out: Path, setting: Setting) -> tuple[float, int]:
    """Tokens a second and peak memory of `fine_tune`."""
    overrides = ("evaluation.share=0", f"batch={setting.batch}", f"per_device={setting.batch}", f"precision={setting.precision}")
    overrides += ("picture.max_pixels=1048576", "max_length=8192", "workers=8" if setting.device.type == "cuda" else "workers=0")
    recipe = load_recipe(SftRecipe, "mllm", "small", overrides)
    forget_peak(setting)
    report = fine_tune(str(folder), records, out, recipe, device=setting.device.type)
    return report.tokens / report.seconds, report.peak_memory


def bare_trained(folder: Path, records: Records, setting: Setting) -> tuple[float, int]:
    """The same steps over batches that are ready."""
    from peft import LoraConfig, get_peft_model

    model, processor = loaded(folder, setting)
    layers = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules=layers, task_type="CAUSAL_LM")
    )
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-4)
    texts = records.table(["text"])["text"].to_pylist()
    paths, batches = paths_of(records), []
    for start in range(0, len(texts), setting.batch):
        some = slice(start, start + setting.batch)
        said = [processor.apply_chat_template(conversation(text), tokenize=False) for text in texts[some]]
        images = [[Image.open(path).convert("RGB")] for path in paths[some]]
        batch = processor(text=said, images=images, padding=True, return_tensors="pt").to(setting.device)
        batches.append({**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)})
    forget_peak(setting)
    model.train()
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)

    def steps() -> None:
        for batch in batches:
            with torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.precision == "bf16"):
                loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return tokens / seconds(steps, setting), memory(setting)


def conversation(answer: str) -> list[dict[str, Any]]:
    """A question with its answer."""
    asked = [{"type": "image"}, {"type": "text", "text": "Describe this picture."}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]


def ours_described(folder: Path, pictures: Sequence[Picture], setting: Setting) -> tuple[float, int]:
    """Tokens a second and peak memory of the captioner."""
    spec = f"transformers:{folder}?max_new_tokens={setting.written}&max_pixels=1048576"
    captioner = load_captioner(spec, captioners(str(setting.device), setting.precision))
    ask = Ask(languages.get("en"), ("Describe this picture.",), 0)
    captioner.describe(pictures[:1], ask)  # loads
    forget_peak(setting)
    speed = len(pictures) * setting.written / seconds(lambda: captioner.describe(pictures, ask), setting)
    return speed, memory(setting)


def bare_described(folder: Path, pictures: Sequence[Picture], setting: Setting) -> tuple[float, int]:
    """The same of `generate`."""
    model, processor = loaded(folder, setting)
    asked = processor.apply_chat_template(conversation("")[:1], tokenize=False, add_generation_prompt=True)
    inputs = processor(text=[asked] * len(pictures), images=[[one.image] for one in pictures], padding=True, return_tensors="pt")
    inputs = inputs.to(setting.device, model.dtype)

    def write() -> None:
        with torch.inference_mode():
            model.generate(**inputs, max_new_tokens=setting.written, min_new_tokens=setting.written, do_sample=False)

    with torch.inference_mode():
        model.generate(**inputs, max_new_tokens=2, do_sample=False)
    forget_peak(setting)
    return len(pictures) * setting.written / seconds(write, setting), memory(setting)


def loaded(folder: Path, setting: Setting) -> tuple[Any, Any]:
    """Model and processor."""
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).to(setting.device)
    return model, AutoProcessor.from_pretrained(folder)


def multiplied_in_a_second(setting: Setting, side: int = 4096) -> float:
    """Floating point operations a second of a product of square matrices."""
    side = side if setting.device.type == "cuda" else 1024
    dtype = torch.bfloat16 if setting.precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=setting.device, dtype=dtype) for _ in range(2))
    left @ right

    def multiply() -> None:
        for _ in range(20):
            left @ right

    return 20 * 2 * side**3 / min(seconds(multiply, setting) for _ in range(3))


def seconds(work: Callable[[], object], setting: Setting) -> float:
    """How long it takes."""
    wait(setting)
    began = time.perf_counter()
    work()
    wait(setting)
    return time.perf_counter() - began


def wait(setting: Setting) -> None:
    """Until the device has nothing to do."""
    if setting.device.type == "cuda":
        torch.cuda.synchronize()


def forget_peak(setting: Setting) -> None:
    """Begin to measure memory."""
    if setting.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory(setting: Setting) -> int:
    """Peak bytes on the device, 0 where that is not known."""
    return torch.cuda.max_memory_allocated() if setting.device.type == "cuda" else 0


if __name__ == "__main__":
    main()
