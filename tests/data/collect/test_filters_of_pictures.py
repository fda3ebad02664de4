"""What the filters of pictures, addresses, sites and repetition keep and remove."""

from __future__ import annotations

import io
from random import Random

import pytest
from judged import plain_step, step, subject, verdict
from PIL import Image

from mella_retrieval.data.collect.filters.step import Filter, Picture, Subject
from mella_retrieval.data.collect.shelf import look_at
from mella_retrieval.data.web.fetching import Failed
from mella_retrieval.errors import ConfigError
from mella_retrieval.pocket.pictures import draw_picture
from mella_retrieval.pocket.scenes import draw_scene

SITE = "https://www.pelda.example"

ICONS = [
    f"{SITE}/icons/search.png",
    f"{SITE}/img/logo.svg",
    f"{SITE}/img/Logo_white@2x.png",
    f"{SITE}/assets/siteLogo.png",
    f"{SITE}/logo-pelda.jpg",
    f"{SITE}/favicon.ico",
    f"{SITE}/static/sprite-1.png",
    f"{SITE}/gfx/btn_buy.gif",
    f"{SITE}/gfx/facebook-button.png",
    f"{SITE}/badges/partner.png",
    f"{SITE}/pixel.gif?id=12",
    f"{SITE}/track.php?p=1",
    "https://mc.yandex.ru/watch/12345",
    "https://www.google-analytics.com/collect?v=1",
    "https://toplist.cz/count.asp?id=1",
    "data:image/gif;base64,R0lGODlhAQABAAAAACw=",
]
PHOTOS = [
    f"{SITE}/foto/silicon-valley.jpg",
    f"{SITE}/kepek/egyetem-logo-a-homlokzaton.jpg",
    f"{SITE}/kepek/gombkoto-button-maker.jpg",
    f"{SITE}/sport/track/800m-final.jpg",
    f"{SITE}/kepek/pixel-art-kiallitas.jpg",
    f"{SITE}/ikonok/szent-miklos.jpg",
    f"{SITE}/wp-content/uploads/2020/05/DSC_0042-1024x768.jpg",
    f"{SITE}/image?id=42&w=800",
    "https://[broken",
]


def test_icons_are_told_by_their_address():
    assert [image for image in ICONS if plain_step("icon").judge(subject(image=image)).ok] == []
    assert [image for image in PHOTOS if not plain_step("icon").judge(subject(image=image)).ok] == []


def test_a_picture_shown_at_the_size_of_an_icon_is_one():
    assert not plain_step("icon").judge(subject(size=(16, 16))).ok
    assert not plain_step("icon").judge(subject(size=(1, 1))).ok
    assert plain_step("icon").judge(subject(size=(320, 24))).ok
    assert step("icon", declared=0).judge(subject(size=(16, 16))).ok


def test_words_of_icons_can_be_added():
    image = f"{SITE}/kepek/cimer.png"
    assert plain_step("icon").judge(subject(image=image)).ok
    for word in ("cimer", "Cimer"):
        assert not step("icon", more=(word,)).judge(subject(image=image)).ok
    for word in ("címer", "cimer-kep", ""):
        with pytest.raises(ConfigError, match="cannot find"):
            step("icon", more=(word,))


def test_a_long_address_costs_no_time():
    image = f"https://{'counter.' * 200_000}!/{'a1x' * 200_000}/x.jpg"
    assert plain_step("icon").judge(subject(image=image)).ok
    assert not plain_step("icon").judge(subject(image=f"https://{'a.' * 200_000}counter.example/x.jpg")).ok


def scene(seed: int, size: tuple[int, int] = (480, 480)) -> Image.Image:
    rng = Random(f"own/{seed}")
    return draw_picture(draw_scene(rng, "train"), rng).resize(size)


def encoded(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Failed("https://a.example/b.jpg", "dead link: 404"), "dead link"),
        (b"<!doctype html><title>404</title>", "not a picture"),
        (encoded(scene(1))[:2000], "not a picture"),
        (b"", "not a picture"),
    ],
)
def test_what_is_no_picture_says_why(answer: bytes | Failed, reason: str):
    picture = look_at(answer)
    found = plain_step("image-broken").judge(subject(picture=picture))
    assert not found.ok
    assert found.detail.startswith(reason)
    assert plain_step("image-size").judge(subject(picture=picture)).ok
    assert plain_step("aspect").judge(subject(picture=picture)).ok


@pytest.mark.parametrize(
    ("size", "removed_by"),
    [
        ((640, 480), set()),
        ((99, 300), {"image-size", "aspect"}),
        ((100, 300), set()),
        ((100, 301), {"aspect"}),
        ((50, 60), {"image-size"}),
    ],
)
def test_size_and_aspect(size: tuple[int, int], removed_by: set[str]):
    picture = look_at(encoded(Image.new("RGB", size, "green"), "PNG"))
    found = {name for name in ("image-size", "aspect") if not plain_step(name).judge(subject(picture=picture)).ok}
    assert found == removed_by
    assert plain_step("image-size").judge(subject(picture=picture)).scores == {"width": size[0], "height": size[1]}


def test_repeated_looks_at_the_count_of_pictures():
    assert plain_step("repeated").judge(subject(repeats=2)).ok
    assert not plain_step("repeated").judge(subject(repeats=3)).ok
    assert step("repeated", images=5).judge(subject(repeats=4)).ok


def asked(filter_: Filter, subjects: list[Subject]) -> list[bool]:
    """Ask as a job does: what passes is remembered."""
    kept = []
    for one in subjects:
        kept.append(filter_.judge(one).ok)
        if kept[-1]:
            filter_.remember(one)
    return kept


def shown(picture: Picture, image: str, page: str = f"{SITE}/a.html") -> Subject:
    return subject(image=image, page=page, picture=picture)


def test_near_duplicates_of_a_picture_on_a_site():
    original = scene(2)
    small = look_at(encoded(original.resize((200, 200)), quality=50))
    cut = look_at(encoded(original.crop((5, 5, 475, 475)), quality=60))
    first, other = look_at(encoded(original)), look_at(encoded(scene(3)))
    subjects = [
        shown(first, f"{SITE}/1.jpg"),
        shown(other, f"{SITE}/2.jpg"),
        shown(small, f"{SITE}/1-small.jpg"),
        shown(cut, f"{SITE}/1-cut.jpg", f"{SITE}/b.html"),
        shown(first, f"{SITE}/1.jpg"),
        shown(first, f"{SITE}/1.jpg", f"{SITE}/b.html"),
        shown(first, "https://masik.example/1.jpg", "https://masik.example/a.html"),
    ]
    assert asked(step("duplicate-image"), subjects) == [True, True, False, False, True, False, True]
    assert asked(step("duplicate-image", scope="everywhere"), subjects)[-1] is False


def test_a_picture_that_was_not_kept_makes_no_duplicates():
    filter_ = step("duplicate-image")
    assert filter_.judge(shown(look_at(encoded(scene(4))), f"{SITE}/1.jpg")).ok
    assert filter_.judge(shown(look_at(encoded(scene(4), quality=50)), f"{SITE}/2.jpg")).ok


def test_pictures_with_nothing_in_them_are_duplicates_only_as_equal_files():
    red, blue = (look_at(encoded(Image.new("RGB", (300, 200), colour), "PNG")) for colour in ("red", "blue"))
    subjects = [shown(red, f"{SITE}/1.png"), shown(blue, f"{SITE}/2.png"), shown(red, f"{SITE}/3.png")]
    assert asked(step("duplicate-image"), subjects) == [True, True, False]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Aratás Bácskában, 2", "Aratás Bácskában (3)", True),
        ("Aratás Bácskában", "ARATÁS BÁCSKÁBAN!", True),
        ("Aratás Bácskában 1950", "Aratás Bácskában 1960", False),
        ("Stará kovárna v Brně", "Stará pekárna v Brně", False),
        (
            "Průvod masek prochází zasněženou vsí pod Javorníkem v neděli odpoledne",
            "Průvod masek prochází zasněženou vsí pod Javorníkem v sobotu dopoledne",
            True,
        ),
        (
            "Průvod masek prochází zasněženou vsí pod Javorníkem v neděli odpoledne",
            "Kapela hraje na návsi u kapličky, děti tančí kolem májky v neděli odpoledne",
            False,
        ),
        ("ขบวนแห่เทียนพรรษาที่จังหวัดอุบลราชธานีในวันอาสาฬหบูชา", "ขบวนแห่เทียนพรรษาที่จังหวัดอุบลราชธานี ในวันอาสาฬหบูชา 2", True),
        ("ขบวนแห่เทียนพรรษา", "ขบวนแห่นางแมวขอฝน", False),
        ("경복궁 근정전의 봄", "경복궁 근정전의 봄.", True),
    ],
)
def test_near_duplicates_of_a_text(first: str, second: str, same: bool):
    subjects = [subject(first), subject(second, image=f"{SITE}/2.jpg"), subject(second, page="https://masik.example/a.html")]
    assert asked(step("duplicate-text"), subjects) == [True, not same, True]
    assert asked(step("duplicate-text", scope="everywhere"), subjects)[-1] is False


def test_words_of_a_list(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("# szerencsejáték\nkaszinó\nstávka\nказино\nбет\n카지노\nمراهنات\nพนัน\ncá cược\n", encoding="utf-8")
    filter_ = step("words", lists=(str(words),))
    removed = [
        "Új KASZINÓ nyílt a városban",
        "A kaszinóban este",
        "Výherní stávky na fotbal",
        "Новое казино у моря",
        "강원도 카지노에서 열린 공연",
        "موقع المراهنات الجديد",
        "เว็บพนันออนไลน์แห่งใหม่",
        "Trang Cá cược bóng đá",
    ]  # fmt: skip
    kept = ["Kaszinóipari-gépkiállítóhelyiség", "Старый бетон у реки", "Nástavka domu", "Con cá trong nước"]
    assert [text for text in removed if filter_.judge(subject(text)).ok] == []
    assert [text for text in kept if not filter_.judge(subject(text)).ok] == []
    assert step("words", lists=(str(words),), inflected=False).judge(subject("A kaszinóban este")).ok
    assert verdict("words", "kaszinó").ok, "without a list nothing is removed"
