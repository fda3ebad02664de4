"""The language table: coverage of the sets in use, agreement between the standards, and lookups that do not guess."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mella_retrieval import languages
from mella_retrieval.errors import DataError

SHARED = Path(__file__).resolve().parents[2] / "shared"


def words(text: str) -> list[str]:
    return text.split()


def pairs(text: str) -> list[tuple[str, str]]:
    return [(left, right) for left, _, right in (word.partition("=") for word in text.split())]


# The list of the FLORES-200 release, one code per file of its dev split.
FLORES = words("""
ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn
ars_Arab ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl
bem_Latn ben_Beng bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn cjk_Latn
ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn est_Latn eus_Latn
ewe_Latn fao_Latn fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gaz_Latn gla_Latn gle_Latn glg_Latn grn_Latn
guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn
ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab kas_Deva kat_Geor kaz_Cyrl kbp_Latn kea_Latn
khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn knc_Arab knc_Latn kon_Latn kor_Hang lao_Laoo lij_Latn
lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn lus_Latn lvs_Latn mag_Deva mai_Deva
mal_Mlym mar_Deva min_Arab min_Latn mkd_Cyrl mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr nld_Latn nno_Latn nob_Latn
npi_Deva nso_Latn nus_Latn nya_Latn oci_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn pol_Latn
por_Latn prs_Arab quy_Latn ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh slk_Latn
slv_Latn smo_Latn sna_Latn snd_Arab som_Latn sot_Latn spa_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn
szl_Latn tam_Taml taq_Latn taq_Tfng tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tpi_Latn tsn_Latn tso_Latn
tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn vie_Latn war_Latn
wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zsm_Latn zul_Latn
""")


def test_every_flores_200_code_has_a_row_of_its_own():
    assert len(FLORES) == 204
    found = [languages.get(code) for code in FLORES]
    assert [language.flores for language in found] == FLORES
    assert len({language.code for language in found}) == 204


def test_flores_codes_agree_with_the_script_column():
    wrong = {code for code in FLORES if languages.get(code).script != code.partition("_")[2]}
    assert wrong == {"sat_Beng"}  # the release names Bengali, its text is in Ol Chiki; later releases say sat_Olck
    assert languages.get("sat_Olck") == languages.get("sat_Beng")


def test_groups_are_canonical_codes():
    assert len(languages.XM3600) == 36
    for group in (languages.XM3600, languages.MELLA, languages.UCLIP, languages.XTD10):
        assert [languages.normalise(code) for code in group] == list(group)


@pytest.mark.parametrize(
    ("code", "canonical"),
    pairs("""
        ara=ar arb=ar msa=ms zsm=ms may=ms nor=no nob=no nb=no no=no nno=nn swa=sw swh=sw zho=zh cmn=zh chi=zh fas=fa
        pes=fa per=fa est=et ekk=et lav=lv lvs=lv tgl=fil tl=fil fil=fil iw=he he=he heb=he in=id id=id ji=yi ydd=yi
        jw=jv jp=ja ja=ja jpn=ja qu=quz que=quz quz=quz quy=quy aze=az azj=az azb=azb srp=sr scc=sr sh=sr-Latn hbs=sr-Latn
        npi=ne ory=or pbt=ps plt=mg uzn=uz als=sq khk=mn gaz=om ayr=ay kmr=ku ckb=ckb mo=ro din=dik
        zh-yue=yue twi=tw aka=ak
    """),
)  # fmt: skip
def test_macro_individual_and_withdrawn_codes(code, canonical):
    assert languages.normalise(code) == canonical


@pytest.mark.parametrize(
    ("tag", "canonical"),
    pairs("""
        pt-BR=pt pt_br=pt PT=pt zh-CN=zh zh-SG=zh zh-Hans=zh zh-Hans-HK=zh zh-TW=zh-Hant zh_HK=zh-Hant
        zh-Hant-TW=zh-Hant cmn-Hant=zh-Hant sr-Latn-RS=sr-Latn sr_Latn=sr-Latn sr-Cyrl-RS=sr SRP_CYRL=sr
        srp_Latn=sr-Latn sh-Cyrl=sr sr-ME=sr-Latn
        es-419=es en-US-u-hc-h12=en ca-valencia=ca de-1996=de en-x-local=en nb-NO=no ko-Kore-KR=ko yue-CN=yue-Hans
        yue-Hant=yue kas_Arab=ks kas_Deva=ks-Deva knc_Arab=kr-Arab arb_Latn=ar-Latn az-Arab=azb az-IR=azb pa-PK=pnb
        hi-Latn=hi-Latn zho_trad=zh-Hant zho_simpl=zh be-tarask=be uzn_Cyrl=uz-Cyrl mni_Mtei=mni-Mtei fa-AF=fa
    """),
)  # fmt: skip
def test_tags_with_regions_scripts_and_variants(tag, canonical):
    assert languages.normalise(tag) == canonical
    assert languages.normalise(canonical) == canonical


def test_surrounding_space_is_forgiven():
    assert languages.normalise(" hu\n") == "hu"


def test_a_script_without_a_row_keeps_the_language_and_loses_what_no_longer_holds():
    romanised, usual = languages.get("hi-Latn"), languages.get("hi")
    assert romanised.script == "Latn"
    assert romanised.flores == ""
    assert romanised.iso639_3 == usual.iso639_3
    assert languages.get("ur-Latn").rtl is False


@pytest.mark.parametrize(
    "code", ["", "xx", "english", "en us", "hu-", "zh-min", "hu-Abcd", "x-emoji", "hun_Latn_extra!", "ace_Arabic"]
)
def test_unknown_codes_are_errors(code):
    with pytest.raises(DataError, match="not a known language code"):
        languages.get(code)


@pytest.mark.parametrize("code", [None, float("nan"), 3])
def test_what_is_no_text_is_an_error_too(code):
    with pytest.raises(DataError):
        languages.get(code)


@pytest.mark.parametrize(
    ("code", "nearest"),
    [("Hungarian", "'hu'"), ("ceb_Latin", "'ceb'"), ("kas_Devanagari", "'ks-Deva'"), ("hunn", "'hu'")],
)
def test_the_nearest_code_is_named(code, nearest):
    with pytest.raises(DataError, match=f"Did you mean {nearest}"):
        languages.get(code)


def test_right_to_left():
    assert {code for code in languages.XM3600 if languages.get(code).rtl} == {"ar", "fa", "he"}
    assert languages.get("ace_Arab").rtl
    assert not languages.get("ace_Latn").rtl
    assert all(languages.get(code).rtl for code in ("ur", "ps", "sd", "ug", "yi", "dv", "ckb"))


def test_resource_classes():
    # Joshi et al. 2020: the seven winners and the eighteen of class 4, in full (published list).
    by_class = {
        level: {row.code for row in languages.known() if row.resource_class == level and "-" not in row.code}
        for level in range(6)
    }
    assert by_class[5] == {"en", "es", "de", "fr", "ja", "ar", "zh"}
    assert by_class[4] == set(words("ca cs eu fa fi hi hr hu it ko nl pl pt ru sr sv tr vi"))
    assert len(by_class[3]) == 28
    assert {"sw", "ga", "zu"} <= by_class[2]
    assert languages.get("si").resource_class is None  # the list has it twice, as 0 and as 1


def test_rows_are_whole():
    rows = languages.known()
    assert [row.code for row in rows] == sorted((row.code for row in rows), key=str.lower)
    for row in rows:
        assert row.name, row
        assert len(row.script) == 4 and row.script.istitle(), row
        assert len(row.iso639_3) == 3, row
        assert row.iso639_1 in {"", row.code.partition("-")[0]} or row.code == "no", row
        assert all(languages.get(alias) is row for alias in (row.code, *row.aliases)), row
    assert max(Counter(row.name for row in rows).values()) == 1


@pytest.mark.real
def test_the_98_languages_of_the_emoji_names():
    path = SHARED / "data" / "emoji" / "names.parquet"
    if not path.is_file():
        pytest.skip(f"needs the real material: {path} is absent")
    from pyarrow import parquet

    codes = sorted(set(parquet.read_table(path, columns=["lang"])["lang"].to_pylist()))
    canonical = [languages.normalise(code) for code in codes]
    assert len(codes) == len(set(canonical)) == 98
    assert [pair for pair in zip(codes, canonical, strict=True) if pair[0] != pair[1]] == [("qu", "quz")]


@pytest.mark.real
def test_the_languages_of_the_published_table():
    path = SHARED / "reference" / "published_xm3600.csv"
    if not path.is_file():
        pytest.skip(f"needs the real material: {path} is absent")
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        codes = {row["language"] for row in csv.DictReader(file)}
    assert codes <= set(languages.XM3600) | {"mean(cs,fi,hr,hu,ro)"}
