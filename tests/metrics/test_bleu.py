"""BLEU, chrF and self-BLEU: that sacrebleu is asked rightly, by formulas written out here."""

import math
from collections import Counter

import pytest

from minillm.errors import ConfigError, DataError
from minillm.metrics import bleu, chrf, self_bleu

pytest.importorskip("sacrebleu", reason="these measures are sacrebleu's; install the extra `evaluate`")

TEXTS = ["the cat sat on the mat today", "there is a dog in the old house", "she reads a book"]
REFERENCES = [
    ["the cat sat on the mat yesterday", "a cat sat on the mat today , it did"],
    ["there is a dog in the house"],
    ["she reads a good book", "she reads the book", "she is reading a book now"],
]


def bleu_by_hand(texts, references):
    """Papineni et al. 2002, section 2.3, on words between spaces, for corpora in which no precision is 0."""
    shared, total, length, nearest = [0] * 4, [0] * 4, 0, 0
    for text, given in zip(texts, references, strict=True):
        tokens, others = text.split(), [reference.split() for reference in given]
        length += len(tokens)
        nearest += min((abs(len(o) - len(tokens)), len(o)) for o in others)[1]
        for n in range(1, 5):
            counts = [Counter(zip(*(t[i:] for i in range(n)), strict=False)) for t in (tokens, *others)]
            most = Counter()
            for of_reference in counts[1:]:
                most |= of_reference
            shared[n - 1] += (counts[0] & most).total()
            total[n - 1] += counts[0].total()
    precision = math.exp(sum(math.log(s / t) for s, t in zip(shared, total, strict=True)) / 4)
    return 100 * precision * min(1, math.exp(1 - nearest / length))


def test_bleu_is_the_formula_with_any_number_of_references():
    assert bleu(TEXTS, REFERENCES).score == pytest.approx(bleu_by_hand(TEXTS, REFERENCES))
    shorter = [text.rsplit(" ", 1)[0] for text in TEXTS]
    assert bleu(shorter, REFERENCES).score == pytest.approx(bleu_by_hand(shorter, REFERENCES))  # with a penalty
    assert bleu(TEXTS, [given[:1] for given in REFERENCES]).score < bleu(TEXTS, REFERENCES).score


def test_chinese_is_scored_by_characters():
    text, reference = "我爱北京天安门", "我爱上海天安门"
    spaced = bleu_by_hand([" ".join(text + "广场上")], [[" ".join(reference + "广场上")]])
    assert bleu([text + "广场上"], [[reference + "广场上"]], "zh").score == pytest.approx(spaced)


def test_the_signature_names_tokenizer_and_version():
    import sacrebleu

    signature = bleu(TEXTS, REFERENCES, "zh").signature
    assert "tok:zh" in signature
    assert f"version:{sacrebleu.__version__}" in signature
    assert "nrefs:var" in signature
    assert "tok:13a" in bleu(TEXTS, REFERENCES).signature
    assert "nc:6" in chrf(TEXTS, REFERENCES).signature


def test_chrf_by_hand():
    # "abc" and "abd": of 1-grams 2 of 3 are shared, of 2-grams 1 of 2, of 3-grams none of 1; longer there are none.
    # Precision and recall are the mean over these orders, (2/3 + 1/2 + 0) / 3, and so is F.
    assert chrf(["abc"], [["abd"]]).score == pytest.approx(100 * (2 / 3 + 1 / 2) / 3)
    assert chrf(["我爱北京"], [["我爱北京"]]).score == pytest.approx(100)


def test_self_bleu_is_100_for_one_text_again_and_again_and_falls_with_variety():
    same, alike = ["the cat sat on the mat"] * 3, ["the cat sat on the mat", "the cat sat on the rug", "a dog ran away"]
    assert self_bleu(same) == pytest.approx(100)
    assert self_bleu(["春眠不觉晓"] * 2, "zh") == pytest.approx(100)
    assert 0 < self_bleu(alike) < 80
    assert self_bleu(["one two three", "four five six"]) < self_bleu(alike)


def test_self_bleu_of_two_texts_is_the_mean_both_ways():
    a, b = "the cat sat on the mat", "the cat sat on the mat with a hat"
    both = [bleu_by_hand([a], [[b]]), bleu_by_hand([b], [[a]])]
    assert self_bleu([a, b]) == pytest.approx(sum(both) / 2)


@pytest.mark.parametrize("measure", [bleu, chrf])
def test_bad_input_is_named(measure):
    with pytest.raises(DataError, match=r"write \[\[reference\], \.\.\.\]"):
        measure(["a"], ["a"])
    with pytest.raises(DataError, match="2 texts and references for 1"):
        measure(["a", "b"], [["a"]])
    with pytest.raises(DataError, match="at least one reference"):
        measure(["a"], [[]])
    with pytest.raises(DataError, match="0 texts"):
        measure([], [])


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match="language='fr' must be one of en, zh"):
        bleu(["a"], [["a"]], "fr")
    with pytest.raises(ConfigError, match="language='fr' must be one of en, zh"):
        self_bleu(["a", "b"], "fr")
    with pytest.raises(DataError, match="at least 2 are needed, got 1"):
        self_bleu(["a"])


def test_without_the_library_it_says_what_to_install(monkeypatch):
    def missing(name, *arguments):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("minillm.metrics.extra.import_module", missing)
    with pytest.raises(ConfigError, match="needs sacrebleu; install it: python -m pip install sacrebleu"):
        bleu(TEXTS, REFERENCES)


def test_importing_the_package_imports_no_library():
    import subprocess
    import sys

    code = "import sys, minillm.baselines; print({'sacrebleu', 'rouge_score', 'sklearn'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
