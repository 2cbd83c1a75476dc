"""The stories' entropy is exact: closed forms, enumeration, Monte Carlo, and one derivation a story."""

import math
import random
from itertools import pairwise

import pytest

from minillm.data import corpora, stories
from minillm.data.grammar import Grammar, WordList

COIN = WordList(("name", "word"), (("heads", "é"), ("tails", "straight")))


def enumerate_texts(grammar):
    """Every text of a grammar without recursion, with its probability, by expanding choices one after the other."""
    texts: dict[str, float] = {}
    prefixes: list[list[float]] = [[]]
    while prefixes:
        rng = Replay(prefixes.pop())
        text, choices = grammar.sample(rng)
        texts[text] = texts.get(text, 0) + 2 ** -grammar.bits(choices)
        # Every point after the replayed ones was 0, the first alternative: branch there into the others.
        for i in range(rng.given, len(choices)):
            name = choices[i][0]
            chances = grammar.chances.get(name) or [1 / len(grammar.words[name].entries)] * len(
                grammar.words[name].entries
            )
            starts = [sum(chances[:k]) + chances[k] / 2 for k in range(1, len(chances))]
            prefixes += [rng.points[:i] + [start] for start in starts]
    return texts


class Replay:
    """A random number generator that gives these points, and then 0 for ever."""

    def __init__(self, points):
        self.points, self.given, self.i = list(points), len(points), 0

    def random(self):
        if self.i == len(self.points):
            self.points.append(0.0)
        self.i += 1
        return self.points[self.i - 1]


def test_entropy_and_length_of_a_tiny_grammar_by_enumeration():
    rules = {
        "story": {"[side] {c=coin} [side] {c.word} {c}.": 1, "{c=coin}! {c.Word}[tail]": 2},
        "side": {"left": 3, "right[tail]": 1},
        "tail": [" a", " bb", " ccc"],
    }
    grammar = Grammar(rules, {"coin": COIN})
    texts = enumerate_texts(grammar)
    assert sum(texts.values()) == pytest.approx(1)
    assert grammar.entropy_bits() == pytest.approx(-sum(p * math.log2(p) for p in texts.values()))
    assert grammar.expected_bytes() == pytest.approx(sum(p * len(t.encode()) for t, p in texts.items()))
    assert "heads! É a" in texts


def test_entropy_of_a_geometric_length():
    # The number of letters is geometric with q = 1/4: entropy H(q)/q bits, mean length 1/q.
    grammar = Grammar({"story": {"x[story]": 3, "x": 1}}, {})
    assert grammar.entropy_bits() == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)) / 0.25)
    assert grammar.expected_bytes() == pytest.approx(4)


def test_an_ambiguous_grammar_has_two_derivations():
    grammar = Grammar({"story": ["[a]b", "ab"], "a": ["a"]}, {})
    assert len(list(grammar.derivations("ab"))) == 2


def test_what_the_grammar_cannot_say_has_no_derivation():
    assert list(stories.GRAMMAR.derivations("Once upon a time there was a bug.\n\n")) == []


def test_every_story_has_exactly_the_derivation_that_made_it():
    rng = random.Random(99)
    for _ in range(1000):
        text, choices = stories.GRAMMAR.sample(rng)
        assert list(stories.GRAMMAR.derivations(text)) == [choices]


def test_stories_are_separated_by_what_no_story_holds():
    for story in stories.documents()[:500]:
        assert story.endswith("\n\n")
        assert "\n" not in story[:-2]


def test_monte_carlo_mean_of_surprise_is_the_entropy():
    rng = random.Random(3)
    samples = [stories.GRAMMAR.sample(rng) for _ in range(4000)]
    check_mean([stories.GRAMMAR.bits(choices) for _, choices in samples], stories.GRAMMAR.entropy_bits())
    check_mean([len(text.encode()) for text, _ in samples], stories.GRAMMAR.expected_bytes())


def check_mean(values, expected):
    """Within four standard errors, and those small."""
    mean = sum(values) / len(values)
    error = math.sqrt(sum((v - mean) ** 2 for v in values)) / len(values)
    assert error < 0.01 * expected
    assert abs(mean - expected) < 4 * error


def test_every_alternative_and_every_word_can_occur():
    grammar, seen = stories.GRAMMAR, set()
    rng = random.Random(0)
    for _ in range(4000):
        seen.update(grammar.sample(rng)[1])
    every = {(s, i) for s, alternatives in grammar.rules.items() for i in range(len(alternatives))}
    every |= {(w, i) for w, words in grammar.words.items() for i in range(len(words.entries))}
    assert seen == every


def test_the_name_of_the_first_sentence_comes_back():
    names = {entry[0] for entry in stories.GRAMMAR.words["child"].entries}
    for story in stories.documents()[:300]:
        words = story.replace(",", "").replace(".", "").replace('"', "").split()
        assert len({word for word in words if word in names}) == 1
        assert sum(word in names for word in words) >= 2


def test_stories_read_as_english():
    text = "".join(stories.documents())
    assert not any(mark in text for mark in "[]{}=|")
    assert "  " not in text and " ." not in text and " ," not in text
    for a, b in pairwise(text.split()):
        assert not (a in ("a", "A") and b[0] in "aeio" and b != "one-eyed"), (a, b)
        assert not (a in ("an", "An") and b[0] not in "aeiou" and b != "hour,"), (a, b)


def test_the_corpus_is_two_megabytes_with_its_entropy():
    corpus = corpora.load("stories")
    size = sum(len(story.encode()) for story in corpus.documents())
    assert 1_900_000 < size < 2_300_000
    assert corpus.entropy_bits_per_byte == pytest.approx(0.11, abs=0.02)
    # The corpus itself costs about its entropy: 2,500 stories come within 2 percent.
    bits = sum(stories.GRAMMAR.bits(next(stories.GRAMMAR.derivations(story))) for story in corpus.documents())
    assert bits / size == pytest.approx(corpus.entropy_bits_per_byte, rel=0.02)


def test_the_same_seed_gives_the_same_stories():
    assert stories.documents(20, 5) == stories.documents(30, 5)[:20] != stories.documents(20, 6)


def test_a_grammar_that_would_deceive_is_refused():
    with pytest.raises(ValueError, match="drawn from two lists"):
        Grammar({"story": ["{x=a}", "{x=b}"]}, {"a": COIN, "b": COIN})
    with pytest.raises(ValueError, match="both a rule and a word list"):
        Grammar({"story": ["[a]"], "a": ["x"]}, {"a": COIN})
