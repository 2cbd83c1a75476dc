"""Exercises of chapter 02: bytes and characters, targets of padded sentences, splits, near duplicates."""

import hashlib
import unicodedata

import numpy as np

from minillm.data.examples.padding import pad
from minillm.exercises.exercise import Exercise, given


def beginning_inputs(rng):
    yield given("tea", 2)
    yield given("tea", 0, note="nothing fits")
    yield given("tea", 9, note="more room than text")
    yield given("茶é", 4, note="the room ends within é")
    yield given("好茶", 5, note="the room ends within 茶")
    yield given("好茶", 6, note="a full fit")
    yield given("a🍵b", 4, note="four bytes don't fit into three")
    yield given("�é", 3, note="a replacement character that was there from the start")
    letters = rng.choice(list("aé好🍵"), size=20)
    yield given("".join(letters), 21)


def beginning(text, size):
    taken = 0
    for i, character in enumerate(text):
        taken += len(character.encode())
        if taken > size:
            return text[:i]
    return text


def sentences_inputs(rng):
    yield given([[5, 6]], 0)
    yield given([[1, 2, 3], [4, 5]], 0, note="the shorter one is padded")
    yield given([[7], [8, 9, 7]], 7, note="a sentence of one id has no target; the pad is a real id, too")
    yield given([[3, 0, 0], [1, 2, 3]], 0, note="ids equal to the pad are targets where they're real")
    yield given([rng.integers(0, 5, size=n).tolist() for n in (4, 1, 6, 3)], 2)


def inputs_and_targets(sentences, pad_id):
    x, _ = pad([ids[:-1] for ids in sentences], pad_id)
    y, _ = pad([ids[1:] for ids in sentences], -100)
    return x, y


def split_inputs(rng):
    yield given(["tea"], 0.5)
    yield given(["tea", "coffee", "water", "milk"], 0.0, note="nothing is held out")
    yield given(["Tea  for\ttwo ", "tea for two"], 0.5, note="case and white space")
    yield given(["caf\u00e9", "cafe\u0301", "ＣＡＦÉ"], 0.515, note="three ways to write café")
    yield given(["Straße", "STRASSE", "Fuß", "Maß"], 0.5, note="ß and ss")
    yield given(["你好！", "你好!"], 0.85, note="a full-width sign and a plain one")
    yield given([f"Story {i}" for i in rng.permutation(40)], 0.3)


def key(text):
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def held_out_of(texts, share):
    return [int.from_bytes(hashlib.sha256(key(text).encode()).digest()[:8], "big") < share * 2**64 for text in texts]


def group_inputs(rng):
    yield given(["abcd", "abcd", "xyz"], 2, 0.5)
    yield given(["abc", "abd"], 2, 1 / 3, note="exactly at the threshold")
    yield given(["a", "b", "a"], 3, 0.5, note="texts shorter than a piece")
    yield given(["aaaa", "aaaaaaaa"], 2, 0.9, note="a set has each piece once")
    yield given(["abcdef", "bcdefg", "cdefgh"], 2, 0.6, note="linked through another")
    yield given(["abcdef", "cdefgh", "bcdefg", "bcdefg"], 2, 0.6, note="the link comes last")
    yield given(["好茶好天气", "好茶好天色", "下雨了"], 2, 0.5, note="Chinese")
    yield given(["".join(rng.choice(list("ab"), size=6)) for _ in range(12)], 3, 0.7)


def groups(texts, n, threshold):
    pieces = [{text[i : i + n] for i in range(max(len(text) - n, 0) + 1)} for text in texts]
    group = list(range(len(texts)))
    for i, a in enumerate(pieces):
        for j, b in enumerate(pieces[:i]):
            if len(a & b) >= threshold * len(a | b):
                group = [group[j] if g == group[i] else g for g in group]
    found: dict[int, list[int]] = {}
    for i, g in enumerate(group):
        found.setdefault(g, []).append(i)
    return list(found.values())


def bands_inputs(rng):
    yield given(np.array([0.9]), 0.8, 4, note="a pair to be found, and none to be left alone")
    yield given(np.array([0.3]), 0.8, 4, note="a pair to be left alone, and none to be found")
    yield given(np.array([0.8, 0.5]), 0.8, 12, note="a pair at the threshold is to be found")
    yield given(np.array([1.0, 1.0]), 0.8, 6, note="all ways are equal")
    yield given(np.array([0.9, 0.95, 0.2, 0.4, 0.6]), 0.8, 32)
    yield given(rng.random(40), 0.5, 64)
    yield given(np.append(rng.random(50) * 0.6, 0.9), 0.8, 128)


def best_bands(similarities, threshold, k):
    def mistakes(bands):
        found = 1 - (1 - similarities ** (k // bands)) ** bands
        return np.where(similarities >= threshold, 1 - found, found).sum()

    bands = min((b for b in range(1, k + 1) if k % b == 0), key=mistakes)
    return bands, k // bands


EXERCISES = [
    Exercise(
        "02.1",
        "the beginning of a text that fits into some bytes",
        hints=(
            "Characters take different numbers of bytes: len(character.encode()).",
            "Add up the bytes character by character, and stop before the sum is more than size.",
            'Or cut the bytes, and let decode leave out the incomplete character at the end: errors="ignore".',
        ),
        expected=beginning,
        inputs=beginning_inputs,
    ),
    Exercise(
        "02.2",
        "inputs and targets of padded sentences",
        hints=(
            "Of each sentence, the inputs are ids[:-1] and the targets ids[1:].",
            "Make np.full((batch, longest - 1), pad_id), another full of -100, and write each row's beginning.",
            "Don't look for pad_id in the ids to find the pads: it may be a real id. Go by the length of the sentence.",
        ),
        expected=inputs_and_targets,
        inputs=sentences_inputs,
    ),
    Exercise(
        "02.3",
        "a split by the hash of what a text says",
        hints=(
            'unicodedata.normalize("NFKC", text), then .casefold(), then " ".join(text.split()).',
            'int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") is the number.',
        ),
        expected=held_out_of,
        inputs=split_inputs,
    ),
    Exercise(
        "02.4",
        "groups of near duplicates",
        hints=(
            "Give each text a set of its pieces and a group of its own. Then look at all pairs.",
            "When two belong together, all of the one's group get the other's: a single text isn't enough.",
            "Compare with >=. The set of a short text is {text}.",
        ),
        expected=groups,
        inputs=group_inputs,
    ),
    Exercise(
        "02.5",
        "bands and rows for the fewest mistakes",
        hints=(
            "Go through the divisors b of k, r = k // b. P(found) = 1 − (1 − Jʳ)ᵇ for each pair.",
            "A pair of at least the threshold costs 1 − P(found), any other P(found); add them all up.",
            "min over ascending b keeps the first of equals, which has the fewest bands.",
        ),
        expected=best_bands,
        inputs=bands_inputs,
    ),
]
