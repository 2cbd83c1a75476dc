"""Exercises of chapter 03: UTF-8, WordPiece's choice, decoding a stream, and the fewest tokens."""

from collections import Counter

from minillm.exercises.exercise import Exercise, given


def utf8_inputs(rng):
    yield given(ord("a"))
    yield given(0, note="the character of number 0")
    yield given(0x7F, note="the last of one byte")
    yield given(ord("é"), note="two bytes")
    for first in (0x80, 0x800, 0x10000):
        yield given(first, note="the first with one byte more")
    yield given(ord("中"), note="three bytes")
    yield given(0xFFFF, note="the last of three bytes")
    yield given(ord("🙂"), note="four bytes")
    yield given(0x10FFFF, note="the last there is")
    for code_point in rng.integers(0x10000, 0x110000, size=5):
        yield given(int(code_point))


def utf8(code_point):
    return list(chr(code_point).encode())


def wordpiece_inputs(rng):
    yield given({("a", "b"): 1})
    yield given({("b", "a"): 1, ("a", "c"): 1, ("a", "d"): 1}, note="three pairs score the same")
    yield given({("a", "b"): 5, ("a", "c"): 4, ("q", "u"): 1}, note="the rarest pair is always together")
    yield given({("a", "b"): 2, ("b",): 6, ("a", "c"): 3}, note="a word of one piece counts its piece")
    yield given({("a", "a", "a"): 1, ("b", "c", "b"): 1}, note="neighbours overlap: a a a holds two pairs")
    yield given({("th", "e"): 9, ("th", "is"): 2, ("e", "y", "e"): 3}, note="pieces of several letters")
    for _ in range(4):
        words = {}
        while len(words) < 8:
            words[tuple(rng.choice(list("abcdef"), size=rng.integers(1, 6)).tolist())] = int(rng.integers(1, 9))
        yield given(words)


def next_wordpiece(words):
    single, pairs = Counter(), Counter()
    for pieces, n in words.items():
        for piece in pieces:
            single[piece] += n
        for pair in zip(pieces, pieces[1:], strict=False):
            pairs[pair] += n
    return min(pairs, key=lambda pair: (-pairs[pair] / (single[pair[0]] * single[pair[1]]), pair))


def stream_inputs(rng):
    yield given([b"a"])
    yield given([b"a", b"bc", b" d"], note="every token is whole characters")
    yield given([b"\xc3", b"\xa9"], note="a character in two tokens")
    yield given([b"a\xe4", b"\xb8", b"\xadb"], note="a character in three tokens, with letters around")
    yield given([b"\xe4\xb8\xad\xe6", b"\x96\x87"], note="a token with one character and the beginning of another")
    yield given(["\ufffd".encode()], note="U+FFFD is a character, too: here it is really in the text")
    yield given([b"\xf0", b"\x9f", b"\x99", b"\x82"], note="an emoji, byte by byte")
    text = "tokens, 词元, naïve, 🙂🙂 and 人人生而自由。".encode()
    for _ in range(4):
        cuts = sorted({0, len(text), *(int(i) for i in rng.integers(1, len(text), size=20))})
        yield given([text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)])


def stream(tokens):
    shown, seen = [], b""
    for token in tokens:
        before = len(seen.decode(errors="ignore"))
        seen += token
        shown.append(seen.decode(errors="ignore")[before:])
    return shown


def fewest_inputs(rng):
    yield given("", {"a"}, note="the empty text needs no piece")
    yield given("a", {"b"}, note="it can't be done")
    yield given("ab", {"a", "b", "ab"})
    yield given("abcd", {"a", "b", "c", "d", "abc", "bcd"})
    yield given("abcd", {"ab", "abc", "cd"}, note="the longest first piece leads nowhere")
    yield given("aabbb", {"a", "b", "aab", "bb", "aa", "bbb"}, note="the longest first piece isn't best")
    yield given("中文词元", {"中文", "词", "元", "文词元", "中"})
    yield given("a" * 300 + "b", {"a", "aa", "aaa"}, note="301 letters, and no way")
    for size in (8, 40, 300):
        text = "".join(rng.choice(list("abc"), size=size).tolist())
        pieces = {text[i : i + 1 + int(rng.integers(5))] for i in rng.integers(0, size, size=25).tolist()}
        yield given(text, {*"abc", *pieces})


def fewest_accepts(result, text, vocabulary):
    """Any list will do that is as short as the shortest, consists of pieces of the vocabulary, and makes the text."""
    least = [0] + [None] * len(text)
    for end in range(1, len(text) + 1):
        ways = [least[end - len(p)] for p in vocabulary if text.endswith(p, 0, end) and least[end - len(p)] is not None]
        least[end] = min(ways) + 1 if ways else None
    if least[-1] is None:
        return None if result is None else "it can't be done: expected None"
    if not isinstance(result, list):
        return f"expected a list of {least[-1]} pieces, got {result!r}"
    if foreign := [piece for piece in result if piece not in vocabulary]:
        return f"{foreign[0]!r} isn't in the vocabulary"
    if "".join(result) != text:
        return f"joined, the pieces are {''.join(result)!r}; expected {text!r}"
    return f"expected {least[-1]} pieces, got {len(result)}" if len(result) > least[-1] else None


EXERCISES = [
    Exercise(
        "03.1",
        "UTF-8 by hand",
        hints=(
            "A byte that continues a character is 0b10000000 with 6 bits of the number: 0x80 | (code_point & 0x3F).",
            "Take 6 bits at a time from the right; what is left goes into the first byte, "
            "with 0b110, 0b1110 or 0b11110 in front.",
            "Two bytes: [0xC0 | code_point >> 6, 0x80 | code_point & 0x3F]. Three begin with 0xE0 | code_point >> 12.",
        ),
        expected=utf8,
        inputs=utf8_inputs,
    ),
    Exercise(
        "03.2",
        "the pair WordPiece merges next",
        hints=(
            "Two counters: one of pieces, one of pairs; each word adds to them as often as it occurs.",
            "c(a) counts a wherever it stands, also at a word's end and in words of one piece.",
            "min(pairs, key=lambda pair: (-score(pair), pair)) takes the largest score, of equals the first.",
        ),
        expected=next_wordpiece,
        inputs=wordpiece_inputs,
    ),
    Exercise(
        "03.3",
        "text from tokens as they come",
        hints=(
            "Keep the bytes that are waiting. With each token, add its bytes; then find how many of them can be shown.",
            "A first byte says how long its character is: below 0x80 one byte, from 0xC0 two, from 0xE0 three, "
            "from 0xF0 four.",
            'Or let Python do it: codecs.getincrementaldecoder("utf-8")() has a decode that holds back what is '
            "unfinished.",
        ),
        expected=stream,
        inputs=stream_inputs,
    ),
    Exercise(
        "03.4",
        "the fewest tokens",
        hints=(
            "Let best[end] be the shortest list of pieces for text[:end]; best[0] is the empty list.",
            "The last piece of text[:end] is some text[start:end] in the vocabulary: "
            "best[end] is the shortest best[start], and that piece.",
            "Go through the ends from 1 to len(text); pieces are no longer than the longest of the vocabulary.",
        ),
        accepts=fewest_accepts,
        inputs=fewest_inputs,
    ),
]
