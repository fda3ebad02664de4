"""The legacy charsets of the web: their labels, and which of them makes bytes the likeliest text.

Likelihood is that of a simple model: a language uses its letters beyond ASCII with frequencies that fall with their rank in
`LETTERS`, capitals more rarely, some signs of punctuation now and then, and everything else hardly ever; and it does not mix
scripts in a word. The same bytes are read in each charset and each language; what is said by dozens of letters is beyond doubt.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections import Counter

import numpy as np
from numpy.typing import NDArray

LABELS = {
    "unicode-1-1-utf-8": "utf-8", "unicode11utf8": "utf-8", "unicode20utf8": "utf-8", "x-unicode20utf8": "utf-8",
    "iso88591": "cp1252", "iso88592": "iso8859-2", "iso88593": "iso8859-3", "iso88594": "iso8859-4", "iso88595": "iso8859-5",
    "iso88596": "iso8859-6", "iso88597": "iso8859-7", "iso88598": "iso8859-8", "iso88599": "cp1254", "iso885910": "iso8859-10",
    "iso885911": "cp874", "iso885913": "iso8859-13", "iso885914": "iso8859-14", "iso885915": "iso8859-15",
    "csiso88596e": "iso8859-6", "csiso88596i": "iso8859-6", "iso-8859-6-e": "iso8859-6", "iso-8859-6-i": "iso8859-6",
    "csiso88598e": "iso8859-8", "csiso88598i": "iso8859-8", "iso-8859-8-e": "iso8859-8", "iso-8859-8-i": "iso8859-8",
    "logical": "iso8859-8", "visual": "iso8859-8", "sun_eu_greek": "iso8859-7", "csisolatin9": "iso8859-15",
    "x-cp1250": "cp1250", "x-cp1251": "cp1251", "x-cp1252": "cp1252", "x-cp1253": "cp1253", "x-cp1254": "cp1254",
    "x-cp1255": "cp1255", "x-cp1256": "cp1256", "x-cp1257": "cp1257", "x-cp1258": "cp1258", "dos-874": "cp874",
    "koi": "koi8-r", "koi8": "koi8-r", "koi8-ru": "koi8-u", "mac": "mac-roman", "csmacintosh": "mac-roman",
    "x-mac-roman": "mac-roman", "x-mac-cyrillic": "mac-cyrillic", "x-mac-ukrainian": "mac-cyrillic",
    "csgb2312": "gb18030", "gb_2312": "gb18030", "x-gbk": "gb18030", "cn-big5": "big5hkscs", "x-x-big5": "big5hkscs",
    "cseucpkdfmtjapanese": "euc_jp", "x-euc-jp": "euc_jp", "cseuckr": "cp949", "csksc56011987": "cp949", "iso-ir-149": "cp949",
    "ks_c_5601-1989": "cp949", "ksc_5601": "cp949", "windows-949": "cp949", "unicodefffe": "utf-16-be", "csunicode": "utf-16-le",
    "iso-10646-ucs-2": "utf-16-le", "ucs-2": "utf-16-le", "unicode": "utf-16-le", "unicodefeff": "utf-16-le",
}  # fmt: skip
"""Labels of the WHATWG Encoding Standard that w3lib does not know, in lower case -> Python's codec."""

NAMES = {
    "big5hkscs": "big5", "cp1250": "windows-1250", "cp1251": "windows-1251", "cp1252": "windows-1252", "cp1253": "windows-1253",
    "cp1254": "windows-1254", "cp1255": "windows-1255", "cp1256": "windows-1256", "cp1257": "windows-1257",
    "cp1258": "windows-1258", "cp866": "ibm866", "cp874": "windows-874", "cp932": "shift_jis", "cp949": "euc-kr",
    "euc_jp": "euc-jp", "gb18030": "gb18030", "iso2022_jp": "iso-2022-jp", "iso8859-10": "iso-8859-10",
    "iso8859-13": "iso-8859-13", "iso8859-14": "iso-8859-14", "iso8859-15": "iso-8859-15", "iso8859-16": "iso-8859-16",
    "iso8859-2": "iso-8859-2", "iso8859-3": "iso-8859-3", "iso8859-4": "iso-8859-4", "iso8859-5": "iso-8859-5",
    "iso8859-6": "iso-8859-6", "iso8859-7": "iso-8859-7", "iso8859-8": "iso-8859-8", "koi8-r": "koi8-r", "koi8-u": "koi8-u",
    "mac-cyrillic": "x-mac-cyrillic", "mac-roman": "macintosh", "utf-16-be": "utf-16be", "utf-16-le": "utf-16le",
    "utf-8": "utf-8",
}  # fmt: skip
"""Python's codecs that a page may name -> how the standard calls them. Python has others, which are no charsets."""

MULTIBYTE = {"cp949": "ko", "gb18030": "zh", "big5hkscs": "zh-Hant", "euc_jp": "ja", "cp932": "ja"}
SINGLE_BYTE = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874",
    "iso8859-2", "iso8859-5", "iso8859-7", "koi8-r", "koi8-u", "cp866",
)  # fmt: skip
"""What undeclared bytes are tried as; of equals the first."""

LETTERS = {
    "ar": "اليمنوترةبدعسفكهقحأجشصطخىضذإثزغظئءؤآ",
    "be": "аіныоерсктлдвумпяэбзгйьчжхцўюёшф",
    "bg": "аеиотнрсвлкдпмзягбуъчцжщйхшфюь",
    "ca": "óàéèíòçúï·ü",
    "cs": "íáěéýčžřšůúóťňď",
    "da": "åøæéä",
    "de": "üäößéà",
    "el": "αοιετσνηυρπκμλςάίγόδέχωήθφβώξύζψϋϊΐΰ",
    "es": "óíáéñúü¿¡",
    "et": "äõüöšž",
    "fa": "ايرندهمتوبسشکگخزفقعحجچپطصغضذثظژآئءأیك",
    "fi": "äöåéšž",
    "fr": "éèàêçîâôùûëïœæü",
    "he": "יוהלארתבשמןנכעחדקפםטצגסזךץף",
    "hr": "čšžćđ",
    "hu": "áéöóőüíúű",
    "is": "ðíáúóþæéöý",
    "it": "èàùòìé",
    "lt": "ėšžųįūčęą",
    "lv": "āīēšņžčūķļģ",
    "mk": "аоиетнрсвкдплмујзгбшчцжќњљхфѓѕџ",
    "nl": "ëéïèöü",
    "pl": "łąęóżśćńź",
    "pt": "ãçáéóíêõâúàôü",
    "ro": "ăîâşţșț",
    "ru": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "sk": "áíéýčžšúľťôóňäďŕĺ",
    "sq": "ëç",
    "sr": "аоиенртсјвкупдмлзгбшчцжћљњђхфџ",
    "sv": "äåöéü",
    "th": "นรากงเอมยลวดทสตปคะบัหแจพชไ้่ีิ์ุ็ูใโผถซศขธณึืญภฐฟษฉฝฎฏ๊๋ฒฮฬฆฤๆำ",
    "tr": "ıüşçğöâî",
    "uk": "оаниіврстекдлмупяьзбгчхйїцюєшжщфґ",
    "vi": "đưôơăâê\u0301\u0300áàé\u0323óúíạ\u0309è\u0303ùý",
}  # fmt: skip
"""Language -> its lower-case letters beyond ASCII, the frequent first."""

COMMON = {
    "ja": "のにるたとはしいをでてがなれあかすっさもりまらくきこんうだけそつよせーやどわみじめえおちばろ",
    "ko": "이다는을의에가고하지로도은서기한나사대있리인시어자보과수해를일정스그아국제니부라전상들원경동",
    "zh": "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里",
    "zh-Hant": "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡",
}  # fmt: skip
"""Language of thousands of characters -> the most frequent."""

_CAPITALS = 0.1
_COMMON_SHARE = {"ja": 0.6, "ko": 0.45, "zh": 0.3, "zh-Hant": 0.3}
_OTHERS = {"ja": 3000, "ko": 2350, "zh": 4000, "zh-Hant": 5000}
_HAN = ("\u4e00", "\u9fff")
_RANGES = {"ja": (("\u3040", "\u30ff"), _HAN), "ko": (("\uac00", "\ud7a3"),), "zh": (_HAN,), "zh-Hant": (_HAN,)}
_SIGNS = (
    dict.fromkeys("–—„“”«»…\xa0", 3e-3)
    | dict.fromkeys("‘’", 1e-3)
    | dict.fromkeys("•·°©®™§№€£×½²³±ºª´‹›†", 5e-4)
    | dict.fromkeys("、。，：！？「」《》（）・", 1e-2)
)
_START = 2.0
_STRANGE, _IMPOSSIBLE, _MIXED = 2e-5, 1e-8, 2e-2
_LATIN = np.array([chr(byte).isalpha() and byte < 128 for byte in range(256)])


def likeliest(sample: bytes) -> tuple[str, float]:
    """The charset in which bytes are the likeliest text, and the logarithm of that likelihood (see `log_likelihood`)."""
    scores = [(codec, log_likelihood(sample, codec)) for codec in (*SINGLE_BYTE, *MULTIBYTE)]
    return max(scores, key=lambda scored: scored[1])


def log_likelihood(sample: bytes, codec: str) -> float:
    """The logarithm (natural) of the probability of bytes beyond ASCII as text in a charset, in its likeliest language.

    windows-1252, the charset of most pages that are not UTF-8, is given a start.
    """
    if codec in MULTIBYTE:
        counts = Counter(sample.decode(codec, "replace"))
        return sum(n * _log_probability(MULTIBYTE[codec], char) for char, n in counts.items() if char >= "\x80")
    values = np.frombuffer(sample, np.uint8)
    latin = np.pad(_LATIN[values], 1)
    histogram = np.bincount(values, minlength=256)[128:]
    in_latin_words = np.bincount(values[latin[:-2] | latin[2:]], minlength=256)[128:]
    return float((_table(codec) @ histogram).max() + _foreign(codec) @ in_latin_words) + (_START if codec == "cp1252" else 0.0)


def _probability(char: str, letters: dict[str, float]) -> float:
    known = letters.get(char) or _SIGNS.get(char)
    if known is not None:
        return known
    return _IMPOSSIBLE if char == "\ufffd" or unicodedata.category(char) in {"Cc", "Co", "Cn"} else _STRANGE


def _ranked(chars: str, share: float, flatness: int) -> dict[str, float]:
    """Characters by their rank, with probabilities that sum to `share`."""
    weights = {char: 1 / (rank + flatness) for rank, char in enumerate(chars)}
    total = sum(weights.values())
    return {char: share * weight / total for char, weight in weights.items()}


@functools.cache
def _table(codec: str) -> NDArray[np.float64]:
    """Logarithms of probabilities, shape (languages, 128): of the bytes from 0x80 on in a charset of single bytes."""
    chars = [bytes([byte]).decode(codec, "replace") for byte in range(128, 256)]
    rows = []
    for alphabet in LETTERS.values():
        letters = _ranked(alphabet, 0.95, 2)
        letters |= {char.upper(): _CAPITALS * p for char, p in letters.items() if len(char.upper()) == 1 and char.upper() != char}
        rows.append([math.log(_probability(char, letters)) for char in chars])
    return np.array(rows)


@functools.cache
def _foreign(codec: str) -> NDArray[np.float64]:
    """What a letter beside an ASCII letter costs, shape (128,): much if it is of another script."""
    chars = [bytes([byte]).decode(codec, "replace") for byte in range(128, 256)]
    foreign = [char.isalpha() and not unicodedata.name(char, "").startswith("LATIN") for char in chars]
    return np.where(foreign, math.log(_MIXED), 0.0)


@functools.lru_cache(maxsize=1 << 16)
def _log_probability(lang: str, char: str) -> float:
    """Of a character in a language of `COMMON`."""
    common = _common(lang)
    if char not in common and any(first <= char <= last for first, last in _RANGES[lang]):
        return math.log((1 - _COMMON_SHARE[lang]) / _OTHERS[lang])
    return math.log(_probability(char, common))


@functools.cache
def _common(lang: str) -> dict[str, float]:
    return _ranked(COMMON[lang], _COMMON_SHARE[lang], 5)
