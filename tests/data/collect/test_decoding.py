"""From bytes to text: what is declared, what labels mean, and pages that lie about their charset."""

from __future__ import annotations

import codecs
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.collect.decoding import decode
from mella_retrieval.data.collect.extract import extract
from mella_retrieval.data.collect.pages import Page

# A few sentences of each language, as they stand below pictures; codec -> the charset's name in the Encoding Standard.
TEXTS = {
    "cs": "Průvod v lidových krojích na náměstí před kostelem, vpředu děti s kyticemi. Řemeslníci předvádějí výrobu koláčů.",
    "de": "Ein Mädchen füttert Gänse am Weiher, dahinter das Fachwerkhaus der Großmutter. Schöne Grüße aus den Bergen.",
    "el": "Γυναίκες με παραδοσιακές στολές χορεύουν στην πλατεία του χωριού. Άνδρες ψήνουν κρέας δίπλα στη θάλασσα.",
    "fr": "Défilé des géants à la fête de la moisson, près du marché couvert où l'on goûte les crêpes préparées à l'ancienne.",
    "he": "ילדים רוקדים סביב המדורה בחצר בית הספר, ומאחוריהם הרי הגליל בשקיעה.",
    "hu": "Busójáró férfiak fűzfából faragott álarcban a mohácsi főtéren. Idős asszony tésztát nyújt a gyűrődeszkán, mögötte",
    "ko": "한복을 입은 아이들이 경복궁 앞에서 연을 날리고 있다. 할머니가 마당에서 김장 김치를 담그는 모습.",
    "pl": "Górale w strojach ludowych grają na skrzypcach przed drewnianym kościołem. Święcenie pokarmów u źródeł Soły",
    "pt": "Procissão de barcos na festa de São João; as mulheres vestem saias bordadas à mão e levam pães, maçãs e corações.",
    "ru": "Женщина в народном костюме печёт блины на ярмарке. За ней стоят деревянная церковь и старый колодец с журавлём.",
    "sr": "Младићи у народној ношњи играју коло испред цркве. Ђак носи бадњак кроз сњежно село, у Љубовији.",
    "th": "ชาวบ้านแต่งชุดไทยลอยกระทงริมแม่น้ำในคืนวันเพ็ญ ด้านหลังเป็นเจดีย์เก่าและต้นโพธิ์ใหญ่",
    "tr": "Köy düğününde halay çeken gençler, arkada ahşap evler. Işıklı çarşıda simit satan yaşlı bir adam, gümüş güğümler.",
    "vi": "Ngôi nhà cô đơn bên hồ, đàn trâu trở về, trời mưa.",
    "ar": "رجال يرقصون بالسيوف في ساحة القرية أثناء العرس، وخلفهم أشجار النخيل والقلعة القديمة.",
    "ja": "祭りの夜、浴衣を着た子どもたちが金魚すくいをしている。うしろには古い神社の鳥居が見える。",
    "zh": "孩子们在村口的老树下放风筝，奶奶坐在院子里包饺子，后面是青砖的房子和远处的山。",
}
CODECS = {
    "cs": ["iso8859-2", "cp1250"], "de": ["cp1252"], "el": ["cp1253", "iso8859-7"], "fr": ["cp1252"], "he": ["cp1255"],
    "hu": ["iso8859-2", "cp1250"], "ko": ["cp949"], "pl": ["iso8859-2", "cp1250"], "pt": ["cp1252"], "vi": ["cp1258"],
    "ru": ["cp1251", "koi8-r", "iso8859-5", "cp866"], "sr": ["cp1251", "iso8859-5"], "th": ["cp874"], "tr": ["cp1254"],
    "ar": ["cp1256"], "ja": ["cp932", "euc_jp"], "zh": ["gb18030"],
}  # fmt: skip
NAMES = {"cp949": "euc-kr", "cp932": "shift_jis", "euc_jp": "euc-jp", "cp874": "tis-620", "cp866": "ibm866"}
PAIRS = [(lang, codec) for lang, found in CODECS.items() for codec in found]
WRONG = ("utf-8", "iso-8859-1", "windows-1251", "iso-8859-2", "tis-620", "euc-kr", "windows-1256", "koi8-r", "gb2312")


def written(lang: str, codec: str) -> tuple[str, bytes]:
    """The text as far as the charset has it, and a page of it without a declaration."""
    text = TEXTS[lang]
    if codec == "cp1258":  # has tones as characters of their own
        text = text.replace("ờ", "ơ\u0300").replace("ở", "ơ\u0309").replace("ồ", "ô\u0300")
    text = text.encode(codec, "ignore").decode(codec)
    page = f"<html><head><title>x</title></head><body><p>Read more</p><img src=a.jpg alt='{text}'></body></html>"
    return text, page.encode(codec)


def named(codec: str) -> str:
    return NAMES.get(codec) or codec.replace("iso8859", "iso-8859").replace("cp12", "windows-12")


@pytest.mark.parametrize(("lang", "codec"), PAIRS)
def test_a_page_without_a_declaration(lang: str, codec: str):
    text, html = written(lang, codec)
    found = decode(html)
    assert text in found.text
    assert found.note == f"no charset declared: read as {found.charset}"


@pytest.mark.parametrize(("lang", "codec"), PAIRS)
def test_a_declaration_that_is_right_is_never_overruled(lang: str, codec: str):
    text, html = written(lang, codec)
    for declared in (
        decode(html, f"text/html; charset={named(codec)}"),
        decode(f"<meta charset={named(codec)}>".encode() + html),
    ):
        assert text in declared.text
        assert declared.note == ""
    for words in (1, 2):  # however little there is to judge by
        short = " ".join(text.split()[:words])
        assert short in decode(short.encode(codec), f"text/html; charset={named(codec)}").text


@pytest.mark.parametrize(("lang", "codec"), PAIRS)
def test_a_declaration_that_is_wrong_is_overruled_and_said(lang: str, codec: str):
    text, html = written(lang, codec)
    for wrong in WRONG:
        honest = codecs.lookup(
            {"iso-8859-1": "cp1252", "tis-620": "cp874", "euc-kr": "cp949", "gb2312": "gb18030"}.get(wrong, wrong)
        )
        if html.decode(honest.name, "replace") == html.decode(codec):
            continue
        found = decode(html, f"text/html; charset={wrong}")
        assert text in found.text, wrong
        assert found.note.startswith("wrong charset: declared "), wrong
        assert found.note.endswith(f", read as {found.charset}")


@pytest.mark.parametrize("lang", TEXTS)
def test_utf8_is_recognised_whatever_is_declared(lang: str):
    html = f"<meta charset=windows-1251><p>{TEXTS[lang]}".encode()
    found = decode(html, "text/html; charset=iso-8859-1")
    assert TEXTS[lang] in found.text
    assert (found.charset, found.note) == ("utf-8", "wrong charset: declared windows-1252, read as utf-8")
    assert decode(f"<p>{TEXTS[lang]}".encode()).note == ""


@pytest.mark.parametrize("lang", ["hu", "ru", "th", "ko", "zh"])
def test_utf8_with_a_few_broken_characters_stays_utf8(lang: str):
    sent = TEXTS[lang].encode()
    broken = sent[:40] + b"\xff" + sent[40:-1]
    found = decode(b"<meta charset=utf-8>" + broken)
    assert (found.charset, found.note) == ("utf-8", "damaged bytes: not all are utf-8")
    assert found.text.endswith(broken.decode("utf-8", "replace"))


def test_the_order_of_authority():
    text, header = "Žluťoučký kůň", "text/html; charset=windows-1250"
    assert text in decode(codecs.BOM_UTF8 + text.encode(), header).text
    assert text in decode(codecs.BOM_UTF16_LE + text.encode("utf-16-le"), header).text
    assert text in decode(codecs.BOM_UTF16_BE + text.encode("utf-16-be"), header).text
    found = decode(b"<meta charset=iso-8859-2>" + text.encode("cp1250"), header)  # the header before the page
    assert text in found.text
    assert found.note == ""
    found = decode(b"<meta charset=cp1250>" + text.encode("cp1250"), "text/html; charset=utf-8")  # the page if the header lies
    assert text in found.text
    assert found.note == "wrong charset: declared utf-8, read as windows-1250"
    http_equiv = b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1250">'
    assert text in decode(http_equiv + text.encode("cp1250")).text
    assert text in decode(b'<?xml version="1.0" encoding="windows-1250"?>' + text.encode("cp1250")).text
    assert text in decode(text.encode("utf-16-le"), "text/html; charset=utf-16").text
    assert text in decode(text.encode(), "text/html; charset=utf-16").text  # it is not
    assert text in decode(f"<meta charset=utf-16>{text}".encode()).text  # what can be read as ASCII is not UTF-16
    assert "日本" in decode("日本".encode("iso2022_jp"), "text/html; charset=iso-2022-jp").text
    assert text in decode(text.encode(), "text/html; charset=iso-2022-jp").text


# Of the WHATWG Encoding Standard, as far as a page can be in them.
LABELS = """
    utf-8: unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8
    ibm866: 866 cp866 csibm866 ibm866
    iso-8859-2: csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 l2 latin2
    iso-8859-4: csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 l4 latin4
    iso-8859-5: csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5
    iso-8859-6: arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-8859-6-i iso88596
    iso-8859-7: csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso88597 sun_eu_greek
    iso-8859-8: csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso88598 visual csiso88598i iso-8859-8-i logical
    iso-8859-13: iso-8859-13 iso8859-13 iso885913
    iso-8859-15: csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9
    koi8-r: cskoi8r koi koi8 koi8-r koi8_r
    koi8-u: koi8-ru koi8-u
    macintosh: csmacintosh mac macintosh x-mac-roman
    windows-874: dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874 TIS-620
    windows-1250: cp1250 windows-1250 x-cp1250
    windows-1251: cp1251 windows-1251 x-cp1251 Windows-1251
    windows-1252: ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 l1 latin1 us-ascii
    windows-1253: cp1253 windows-1253 x-cp1253
    windows-1254: cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 l5 latin5 windows-1254 x-cp1254
    windows-1255: cp1255 windows-1255 x-cp1255
    windows-1256: cp1256 windows-1256 x-cp1256
    windows-1257: cp1257 windows-1257 x-cp1257
    windows-1258: cp1258 windows-1258 x-cp1258
    x-mac-cyrillic: x-mac-cyrillic x-mac-ukrainian
    gb18030: chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030
    big5: big5 big5-hkscs cn-big5 csbig5 x-x-big5
    euc-jp: cseucpkdfmtjapanese euc-jp x-euc-jp
    shift_jis: csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis
    euc-kr: cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949
"""


@pytest.mark.parametrize("line", LABELS.strip().splitlines(), ids=lambda line: line.strip().partition(":")[0])
def test_labels_mean_what_the_standard_says(line: str):
    name, labels = line.strip().split(": ")
    for label in labels.split():
        assert decode(b"plain", f"text/html; charset={label}").charset == name, label
        assert decode(f'<meta charset="{label}">'.encode()).charset == name, label


@pytest.mark.parametrize(
    "label", ["utf-7", "rot13", "punycode", "idna", "unicode_escape", "zlib", "hex", "mbcs", "no such", "\x00", "é"]
)
def test_what_is_no_charset_of_the_web_is_no_declaration(label: str):
    found = decode(b"plain +AGEA-", f"text/html; charset={label}")
    assert (found.text, found.charset, found.note) == ("plain +AGEA-", "utf-8", "")


def test_characters_that_only_the_larger_charset_of_a_label_has():
    assert "똠방각하" in decode("<p>똠방각하".encode("cp949"), "text/html; charset=euc-kr").text
    assert "“x”" in decode("“x”".encode("cp1252"), "text/html; charset=iso-8859-1").text
    assert "“กขค”" in decode("“กขค”".encode("cp874"), "text/html; charset=tis-620").text
    assert "朱镕基" in decode("朱镕基".encode("gbk"), "text/html; charset=gb2312").text


def test_notes_of_decoding_reach_the_page():
    text, html = written("ru", "koi8-r")
    found = extract(Page("https://a.example/", html, "text/html; charset=windows-1251", notes=("cut short: test",)))
    assert [candidate.text for candidate in found.candidates] == [text]
    assert found.notes == ("cut short: test", "wrong charset: declared windows-1251, read as koi8-r")


@settings(max_examples=60, deadline=None)
@given(
    html=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    content_type=st.text(max_size=30) | st.sampled_from(WRONG).map("text/html; charset={}".format),
)
def test_any_bytes_become_text(html: bytes, content_type: str):
    found = decode(html, content_type)
    assert found == decode(html, content_type)
    assert len(found.text) <= len(html)
    assert all(unicodedata.category(char) != "Cs" for char in found.text)
    if html.isascii() and "utf-16" not in found.charset and b"\x1b" not in html:
        assert found.text == html.decode()


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80), label=st.sampled_from(("", *WRONG)))
def test_utf8_always_comes_back(text: str, label: str):
    found = decode(text.encode(), f"text/html; charset={label}")
    assert found.text == text.removeprefix("\ufeff")
