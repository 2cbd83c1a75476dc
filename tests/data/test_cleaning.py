"""Each cleaning step does what it says and counts it; the pipeline cleans real pages and leaves clean text alone."""

import os
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data.cleaning import PRESETS, clean, cleaned
from minillm.data.cleaning.characters import (
    normalise,
    normalise_compatibility,
    remove_control,
    remove_special,
    repair_mojibake,
    tidy_whitespace,
    unify_line_ends,
)
from minillm.data.cleaning.duplicates import DuplicateLines, NearDuplicateLines, signature
from minillm.data.cleaning.markup import decode_entities, strip_tags
from minillm.data.corpora import Corpus
from minillm.errors import ConfigError
from tests.data_files import REPOSITORY, real_file


@pytest.mark.parametrize(
    ("step", "dirty", "tidy", "removed"),
    [
        (strip_tags, "no tags: 1 < 2 and 3 > 2 &amp; so on", "no tags: 1 < 2 and 3 > 2 &amp; so on", 0),
        (strip_tags, "<p>one <b>bo</b>ld</p><p>two</p>", "\none bold\n\ntwo\n", 3),
        (strip_tags, "<script>var a = '<p>';</script><style>p {}</style>kept", "kept", 2),
        (strip_tags, "a<!-- not this -->b<br>c", "ab\nc", 1),
        (strip_tags, "<td>1</td>", "1", 1),
        (strip_tags, "<table><tr><td>a</td><td>b</td></tr></table>", "\n\na b \n\n", 5),
        (strip_tags, "<p>&lt;b&gt; &amp;amp;</p>", "\n&lt;b&gt; &amp;amp;\n", 1),
        (strip_tags, "<div>床前明月光，疑是地上霜。</div>", "\n床前明月光，疑是地上霜。\n", 1),
        (decode_entities, "caf&eacute; &#8217; &#x4e2d; &amp;lt;", "café ’ 中 &lt;", 4),
        (decode_entities, "AT&T &nosuch; & &amp", "AT&T &nosuch; & &amp", 0),
        (repair_mojibake, "schÃ¶n\nschön\nplain", "schön\nschön\nplain", 1),
        (repair_mojibake, "ä½\xa0å¥½，ä¸–ç•Œ", "你好，世界", 1),
        (repair_mojibake, "你好，世界。", "你好，世界。", 0),
        (remove_control, "a\x00b\x1b[0m\tc\nd\x7f\x9f", "ab[0m\tc\nd", 4),
        (remove_special, "so\u00adft \u200bzero\ufeff \ufffd\ue000\u202ex", "soft zero x", 6),
        (remove_special, "👨\u200d👩\u200d👧 می\u200cخواهم", "👨\u200d👩\u200d👧 می\u200cخواهم", 0),
        (remove_special, "half \ud83d pair", "half  pair", 1),
        (unify_line_ends, "a\r\nb\rc\x0bd\x85e\u2028f\n", "a\nb\nc\nd\ne\nf\n", 5),
        (normalise, "cafe\u0301\ncafé\n你好，世界！（ＡＢＣ）", "café\ncafé\n你好，世界！（ＡＢＣ）", 1),
        (normalise_compatibility, "你好，（ＡＢＣ）ﬁ²", "你好,(ABC)fi2", 1),
        (tidy_whitespace, "  keep  this\u00a0 gap \t\n\n\n\nend", "  keep this gap\n\nend", 4),
        (tidy_whitespace, "\u3000\u3000段落\n", "\u3000\u3000段落\n", 0),
    ],
)
def test_a_step_gives_text_and_count(step, dirty, tidy, removed):
    result = step(dirty)
    assert (result.text, result.removed) == (tidy, removed)
    assert bool(result.example) == bool(removed)
    assert result.example in dirty


@given(st.text())
def test_clean_text_has_no_noise_left_and_cleaning_it_again_changes_nothing(text):
    once, _ = clean(text, "text")
    assert not any(
        unicodedata.category(c) in ("Cs", "Co") or (unicodedata.category(c) == "Cc" and c not in "\t\n") for c in once
    )
    assert unicodedata.is_normalized("NFC", once)
    assert "\n\n\n" not in once
    # Mojibake left out: what it repairs may only become recognisable once a control character is gone.
    steps = [name for name in PRESETS["text"] if name != "mojibake"]
    assert clean(once, steps)[0] == once


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=200))
def test_any_text_survives_the_html_preset(text):
    clean(f"<p>{text}</p>", "html")


LINE = "The quick brown fox jumps over the lazy dog near the old stone bridge."


def test_a_repeated_line_goes_a_short_one_stays():
    result = DuplicateLines()(f"{LINE}\nROMEO:\n{LINE}  \nROMEO:\n")
    assert result == (f"{LINE}\nROMEO:\nROMEO:\n", 1, LINE)


def test_duplicates_are_remembered_between_documents_up_to_a_capacity():
    step = DuplicateLines(capacity=2)
    assert step(LINE).removed == 0
    assert step(LINE).removed == 1
    step("a second line of some length\nand a third line of some length")
    assert len(step.seen) <= 2
    assert step(LINE).removed == 0  # forgotten


def test_a_line_changed_a_little_goes_another_stays():
    other = "Forty ships came into the harbour, and every one had a cargo of salt."
    result = NearDuplicateLines()(f"{LINE}\n{LINE[:-1]}!\n{other}\nSo: {LINE}")
    assert (result.text, result.removed) == (f"{LINE}\n{other}", 2)


def test_near_duplicates_in_chinese():
    line = "大规模预训练是一种基于深度学习的自然语言处理技术，它在大型语料库上训练模型。"
    different = "变换器模型通过自注意力机制处理序列数据，能够捕捉长距离的依赖关系，效果很好。"
    result = NearDuplicateLines()(f"{line}\n{line.replace('。', '！')}\n{different}")
    assert (result.text, result.removed) == (f"{line}\n{different}", 1)


def test_near_duplicates_forget_all_when_full():
    step = NearDuplicateLines(capacity=1)
    step(f"{LINE}\nan entirely other line about salt and ships")
    assert len(step.signatures) == 1
    assert step(LINE).removed == 0


def test_minhash_estimates_the_jaccard_similarity():
    """Against exact Jaccard on random word strings: unbiased, of standard error sqrt(J (1 - J) / 32)."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), 6)) for _ in range(60)]
    errors = []
    for _ in range(300):
        chosen = list(rng.choice(words, 12, replace=False))
        changed = list(chosen)
        for i in rng.choice(12, rng.integers(0, 6), replace=False):
            changed[i] = str(rng.choice(words))
        a, b = " ".join(chosen), " ".join(changed)
        sets = [{t[i : i + 5] for i in range(len(t) - 4)} for t in (a, b)]
        jaccard = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        errors.append((signature(a) == signature(b)).mean() - jaccard)
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.1


def test_near_duplicates_do_not_depend_on_the_hash_seed():
    script = (
        "from minillm.data.cleaning.duplicates import signature; import zlib;"
        "print(zlib.crc32(b''.join(signature(f'line number {i} of a text').tobytes() for i in range(99))))"
    )
    outputs = set()
    for seed in ("0", "1"):
        command = [sys.executable, "-c", script]
        env = os.environ | {"PYTHONHASHSEED": seed}
        outputs.add(subprocess.run(command, capture_output=True, check=True, cwd=REPOSITORY, env=env).stdout)
    assert len(outputs) == 1


PAGE = """<!DOCTYPE html><html><head><title>t</title><script>track("<p>")</script></head><body>
<h1>唐诗&nbsp;三百首</h1><p>床前明月光，<br>疑是地上霜。</p>
<p>Caf&eacute; &amp; bar</p>\x07<p>so\u00adft</p>
<p>All rights reserved, no part may be copied.</p><p>All rights reserved, no part may be copied.</p></body></html>"""


def test_a_page_becomes_text_and_the_report_shows_each_removal():
    text, report = clean(PAGE, "html")
    lines = [line for line in text.split("\n") if line]
    poem = ["唐诗 三百首", "床前明月光，", "疑是地上霜。"]
    assert lines == [*poem, "Café & bar", "soft", "All rights reserved, no part may be copied."]
    removed = {name: step.removed for name, step in report.steps.items()}
    assert {name: removed[name] for name in ("entities", "control", "special", "duplicates")} == {
        "entities": 3,
        "control": 1,
        "special": 1,
        "duplicates": 1,
    }
    assert report.characters_before == len(PAGE) and report.characters_after == len(text)
    table = str(report)
    assert "step                removed  first example" in table
    assert "entities                  3  &nbsp;" in table
    assert r"special                   1  '\xad'" in table


def test_of_several_pages_in_one_text_no_title_is_left():
    text, _ = clean("<html><head><title>头</title></head><body><p>甲</p></body></html>\n" * 2, ("tags",))
    assert text.split() == ["甲", "甲"]


def test_real_text_comes_through_unharmed():
    text = real_file("tang300.txt").read_text(encoding="utf-8")
    result, report = clean(text, ("mojibake", "control", "special", "line-ends", "nfc"))
    assert result == text
    assert all(step.removed == 0 for step in report.steps.values())


PARAGRAPH = "<p>a page of some length here</p>"


def test_a_cleaned_corpus_reads_the_same_each_time_and_refills_its_report():
    corpus = Corpus("pages", "two pages", lambda: [PARAGRAPH, f"{PARAGRAPH}x"], 1.0)
    tidy, report = cleaned(corpus, "html")
    assert list(tidy.documents()) == list(tidy.documents()) == ["\na page of some length here\n", "\nx\n"]
    assert report.steps["duplicates"].removed == 1
    assert tidy.entropy_bits_per_byte is None


def test_unknown_names_are_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="no cleaning preset 'htm'.*Did you mean 'html'"):
        clean("", "htm")
    with pytest.raises(ConfigError, match="no cleaning step 'tag'.*Did you mean 'tags'"):
        clean("", ["tag"])
    assert clean("as it is\x00", "none")[0] == "as it is\x00"
    assert set(PRESETS["text"]) < set(PRESETS["html"])
