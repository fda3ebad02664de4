"""Zero-shot classification on the pocket world: before what it stands, which colour it has, which thing it is, in 13 languages.

A test of the mechanism, on 660 drawn pictures of one thing each: every thing in every colour twice, in any size, before any
background; a fifth of the combinations of thing and colour neither towers nor adapters have seen. The class names are the pocket
world's words, alone and behind its word for "picture". Beside the adapters stand five trained on shuffled pairs (a single map of
noise can be well above or below chance on few classes), the English dual encoder, shuffled labels and chance.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import yaml
from common import REPOSITORY, RESULTS, RUNS, hashes, markdown, percent, save_result, write_table
from pocket_sources import WORK as TRAINED_ON
from pocket_sources import material

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.artifacts import atomic_write, new_folder
from mella_retrieval.benchmarks.classification import CLASSES_CSV, Classification, run_classification
from mella_retrieval.benchmarks.classification_material import classification_systems, load_question
from mella_retrieval.benchmarks.classification_scores import MACRO_F1, TOP_1
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.run import ENGLISH, SHUFFLED, Setup
from mella_retrieval.benchmarks.scores import CHANCE, MEAN
from mella_retrieval.benchmarks.tasks import ZERO_SHOT, Task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.pocket.pictures import draw_picture
from mella_retrieval.pocket.scenes import Scene, Thing
from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER
from mella_retrieval.pocket.vocabulary import BACKGROUNDS, COLOURS, KINDS, LANGUAGES, SIZES, words

WORK = RUNS / "pocket-classes"
RECIPES = ("adapters/ridge.yaml", "adapters/procrustes.yaml")
SETS = {"backgrounds": BACKGROUNDS, "colours": COLOURS, "things": KINDS}
PAIRED, FROM_ENGLISH = "ridge, paired", "procrustes, from English text"
CONTROLS = {seed: f"ridge on shuffled pairs, seed {seed}" for seed in range(5)}


def main() -> None:
    """Measure; renew the tables in benchmarks/README.md."""
    measured = measure()
    made_of = hashes(Path(__file__), [], RECIPES)
    for name, one in measured.items():
        out = RESULTS / "pocket-classes" / name
        save_result(one.result, out, made_of, ["python benchmarks/studies/pocket_classes.py"])
        with atomic_write(out / CLASSES_CSV) as file:
            file.write(one.classes_csv().encode())
    lines = tables({name: one.result for name, one in measured.items()})
    write_table(REPOSITORY / "benchmarks" / "README.md", "pocket classes", lines)


def measure() -> dict[str, Classification]:
    """Draw, import, embed, train and ask."""
    draw(WORK / "pictures")
    import_records(WORK / "pictures", WORK / "records", "class-folder", split_level=True, overwrite=True)
    records = Records.load(WORK / "records")
    images = embed_images(records, load_image_tower(IMAGE_TOWER, device="cpu"), WORK / "images")
    trained, tower = adapters(), load_text_tower(TEXT_TOWER, device="cpu")
    measured = {}
    for name in SETS:
        asked = task(name)
        question = load_question(asked, records)
        systems = classification_systems(question, images, trained, WORK / "work" / name, tower=tower, device="cpu")
        setup = Setup(asked, question.evaluation, checksum=records.fingerprint)
        measured[name] = run_classification(setup, question, systems)
    return measured


def draw(folder: Path) -> None:
    """The same pictures three times, in folders by what they stand before, by colour and by thing."""
    with new_folder(folder, overwrite=True) as aside:
        for name, labels in SETS.items():
            for label in labels:
                (aside / name / label).mkdir(parents=True)
        for kind in KINDS:
            for number in range(2 * len(COLOURS)):
                rng = Random(f"classes/{kind}/{number}")
                background, colour = rng.choice(BACKGROUNDS), COLOURS[number % len(COLOURS)]
                scene = Scene(background, (Thing(kind, colour, rng.choice(("", *SIZES))),))
                picture = aside / "things" / kind / f"{kind}-{number:02d}.png"
                draw_picture(scene, rng).save(picture)
                shutil.copy(picture, aside / "colours" / colour)
                shutil.copy(picture, aside / "backgrounds" / background)


def task(name: str) -> Task:
    """One of the three; its class names are written from the pocket world's words."""
    path = WORK / f"pocket-{name}.yaml"
    table = {code: {**words(code).backgrounds, **words(code).colours, **words(code).nouns} for code in LANGUAGES}
    names = {label: {code: table[code][label] for code in LANGUAGES} for label in SETS[name]}
    templates = {code: ["{}", f"{words(code).labels['picture']}: {{}}"] for code in LANGUAGES}
    content = {"name": f"pocket-{name}", "source": "words of the pocket world", "templates": templates, "names": names}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return Task(
        name=f"pocket-{name}",
        title=f"{name.capitalize()} of the pocket world",
        source="drawn by mella_retrieval.pocket",
        licence="Apache-2.0",
        kind="classification",
        classes=str(path),
        protocols=(ZERO_SHOT,),
        languages=LANGUAGES,
        where={"split": name},
        images=2 * len(KINDS) * len(COLOURS),
        groups={"mella": ("ar", "cs", "hu", "ko", "ru", "sr", "th", "vi"), "uclip": ("cs", "fi", "hr", "hu", "ro")},
    )


def adapters() -> dict[str, Adapter]:
    """Trained on the training split of the pocket world of `pocket_sources.py`."""
    records, _, _ = material()
    own_text = load_text_tower(IMAGE_TOWER, device="cpu")
    english = embed_texts(records, own_text, WORK / "english", where={"lang": "en", "split": "train"})
    texts = str(TRAINED_ON / "texts")
    paired = Sources(pairs=f"{texts}?split=train", image_vectors=str(TRAINED_ON / "images"))
    from_english = Sources(english_text=f"{texts}?split=train&lang=en", clip_text=str(english.folder))
    return {
        PAIRED: _train("ridge", "data=pairs", paired, WORK / "ridge"),
        FROM_ENGLISH: _train("procrustes", "data=english", from_english, WORK / "procrustes"),
        **{
            name: _train("ridge", "data=pairs", paired, WORK / f"shuffled-{seed}", seed=seed, shuffle=True)
            for seed, name in CONTROLS.items()
        },
    }


def _train(recipe: str, data: str, sources: Sources, out: Path, *, seed: int = 0, shuffle: bool = False) -> Adapter:
    method, config = load_method(recipe, (data,))
    return train(method, config, sources, out, seed=seed, shuffle_pairs=shuffle, overwrite=True)


def tables(results: dict[str, Result]) -> list[str]:
    """Means over the languages with intervals (of the English dual encoder: English), then top-1 in each language."""
    what = {name: f"{name} ({len(labels)})" for name, labels in SETS.items()}
    columns = [(result, metric) for result in results.values() for metric in (TOP_1, MACRO_F1)]
    head = ["system", *(f"{what[name]}: {metric}" for name in results for metric in (TOP_1, MACRO_F1))]

    def row(title: str, system: str, language: str = MEAN) -> list[str]:
        return [title, *(percent(result, system, language, IMAGE_TO_TEXT, metric, interval=True) for result, metric in columns)]

    def lowest_to_highest(result: Result, metric: str) -> str:
        found = sorted(100 * (result.score(name, MEAN, IMAGE_TO_TEXT, metric).value or 0) for name in CONTROLS.values())
        return f"{found[0]:.1f} to {found[-1]:.1f}"

    rows = [
        row(PAIRED, PAIRED),
        row(FROM_ENGLISH, FROM_ENGLISH),
        row(f"{ENGLISH}, in English", ENGLISH, "en"),
        [f"ridge on shuffled pairs, {len(CONTROLS)} shuffles", *(lowest_to_highest(*column) for column in columns)],
        row("the first with the classes of other pictures", SHUFFLED),
        row(CHANCE, CHANCE),
    ]
    each = [
        [what[name], system, *(percent(result, system, code, IMAGE_TO_TEXT, TOP_1) for code in LANGUAGES)]
        for name, result in results.items()
        for system in (PAIRED, FROM_ENGLISH)
    ]
    return [*markdown(head, rows), "", *markdown(["top-1", "system", *LANGUAGES], each)]


if __name__ == "__main__":
    main()
