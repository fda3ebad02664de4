"""Texts in several languages, pictures, and models that know what to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.mllm.decoding import Decoding
from mella_retrieval.mllm.score.recipe import ScoreRecipe
from mella_retrieval.recipes import build_config

HUNGARIAN = (
    "Egy barna kutya szalad a nedves fűben a folyó mellett.",
    "Két piros csónak fekszik a kis kikötőben, mögöttük hegyek láthatók.",
    "Egy idős asszony friss kenyeret árul a vasárnapi piacon.",
    "A gyerekek az udvaron labdáznak, egyikük sárga kabátot visel.",
    "A fehér macska az ablakban alszik a délutáni napfényben.",
    "Az étterem asztalán egy tányér leves és egy pohár víz áll.",
    "Fiatal zenészek játszanak a templom előtti téren.",
    "Hóval borított háztetők egy csendes hegyi faluban.",
    "Egy zöld villamos halad át a régi hídon este.",
    "A kertész rózsákat ültet a magas kőfal mellé.",
)
CZECH = (
    "Hnědý pes běží v mokré trávě vedle řeky.",
    "Dvě červené loďky leží v malém přístavu, za nimi jsou vidět hory.",
    "Starší žena prodává čerstvý chléb na nedělním trhu.",
    "Děti si na dvoře hrají s míčem, jedno z nich má žlutý kabát.",
    "Bílá kočka spí v okně na odpoledním slunci.",
    "Na stole v restauraci stojí talíř polévky a sklenice vody.",
    "Mladí hudebníci hrají na náměstí před kostelem.",
    "Zasněžené střechy domů v tiché horské vesnici.",
    "Zelená tramvaj přejíždí večer přes starý most.",
    "Zahradník sází růže vedle vysoké kamenné zdi.",
)
ALT = (
    "A Lánchíd este Budapesten, háttérben a Budavári Palota",
    "Matyó hímzés Mezőkövesdről, piros rózsákkal",
    "A Parlament épülete a Duna felől, Steindl Imre műve",
    "Hortobágyi csikós és a kilenclyukú híd",
    "Szegedi halászlé a Tisza-parti vendéglőben",
    "A pécsi székesegyház négy tornya",
    "Busójárás Mohácson, a férfiak faálarcot viselnek",
    "Az egri vár és Dobó István szobra",
    "Herendi porcelán csésze pillangós mintával",
    "A tihanyi apátság a Balaton fölött",
)


def write_set(folder: Path, texts: Mapping[tuple[str, str], Sequence[str]]) -> Records:
    """Records of (source, language) -> texts, the n-th of each about picture p<n>."""
    pictures = folder.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    count = max(map(len, texts.values()))
    for number in range(count):
        Image.new("RGB", (8, 8), (number * 20, 0, 90)).save(pictures / f"p{number}.png")
    items = [
        RawRecord(f"p{number}", f"p{number}.png", text, lang, source)
        for (source, lang), several in texts.items()
        for number, text in enumerate(several)
    ]
    write_records(folder, items, image_root=pictures, overwrite=True)
    return Records.load(folder)


class Saying:
    """A captioner that looks up what to say.

    Args:
        said: (image_id, language code) -> text.
        reads: words of a sign that it can read are answered with yes, all others with no; None says neither.
    """

    def __init__(self, name: str, said: Mapping[tuple[str, str], Any], reads: str | None = "right", **decoding: Any) -> None:
        self.name = name
        self.reads_pictures = True
        self.decoding = Decoding(**decoding)
        self.said, self.reads = said, reads
        self.asked: list[tuple[str, str]] = []
        self.closed = 0

    @property
    def fingerprint(self) -> str:
        return f"{self.name} {self.reads} {sorted(self.said.items(), key=str)}"

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        self.asked += [(picture.image_id, prompt) for picture in pictures for prompt in ask.prompts]
        return [self._one(picture, ask) for picture in pictures]

    def _one(self, picture: Picture, ask: Ask) -> Sequence[str] | Failed:
        assert picture.image is not None
        if picture.image_id.startswith("sign-"):
            if self.reads == "right":
                first = picture.image_id.endswith("-0")
                return ["Yes, it is." if first else "no", "No." if first else "yes"]
            return [self.reads or "maybe"] * len(ask.prompts)
        answer = self.said.get((picture.image_id, ask.lang.code), "")
        return answer if isinstance(answer, Failed) else [answer]

    def close(self) -> None:
        self.closed += 1


def said_of(texts: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """What a captioner says that has the n-th text of each language for picture p<n>."""
    return {(f"p{number}", lang): text for lang, several in texts.items() for number, text in enumerate(several)}


def recipe(**changes: Any) -> ScoreRecipe:
    """Few resamples and signs; without the models that identify languages, which take a second to load."""
    values = {"bootstrap": {"resamples": 200}, "signs": None, "identify": False, **changes}
    return build_config(ScoreRecipe, values, "the recipe")
