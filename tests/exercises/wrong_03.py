"""Wrong answers to chapter 03's exercises, as people give them. Each must be refused."""

from collections import Counter


def utf8_of_two_bytes_at_most(code_point):
    return [code_point] if code_point < 0x80 else [0xC0 | code_point >> 6, 0x80 | code_point & 0x3F]


def utf8_that_is_latin_1(code_point):
    return [code_point] if code_point < 0x100 else list(chr(code_point).encode())


def utf8_with_borders_off_by_one(code_point):
    if code_point <= 0x80:
        return [code_point]
    return list(chr(code_point).encode())


def utf8_backwards(code_point):
    return list(chr(code_point).encode())[::-1]


def wordpiece_like_bpe(words):
    pairs = Counter()
    for pieces, n in words.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            pairs[pair] += n
    return min(pairs, key=lambda pair: (-pairs[pair], pair))


def scored(words, times, pick):
    single, pairs = Counter(), Counter()
    for pieces, n in words.items():
        single.update({piece: times(n) * pieces.count(piece) for piece in set(pieces)})
        for pair in zip(pieces, pieces[1:], strict=False):
            pairs[pair] += times(n)
    return pick(pairs, key=lambda pair: (pairs[pair] / (single[pair[0]] * single[pair[1]]), pair))


def wordpiece_without_how_often_a_word_occurs(words):
    return scored(words, lambda n: 1, lambda pairs, key: min(pairs, key=lambda p: (-key(p)[0], p)))


def wordpiece_with_the_last_of_equals(words):
    return scored(words, lambda n: n, max)


def wordpiece_dividing_by_the_sum(words):
    single, pairs = Counter(), Counter()
    for pieces, n in words.items():
        for piece in pieces:
            single[piece] += n
        for pair in zip(pieces, pieces[1:], strict=False):
            pairs[pair] += n
    return min(pairs, key=lambda pair: (-pairs[pair] / (single[pair[0]] + single[pair[1]]), pair))


def stream_token_by_token(tokens):
    return [token.decode(errors="replace") for token in tokens]


def stream_that_drops_what_is_unfinished(tokens):
    return [token.decode(errors="ignore") for token in tokens]


def stream_that_waits_for_a_whole_token(tokens):
    shown, waiting = [], b""
    for token in tokens:
        waiting += token
        try:
            shown.append(waiting.decode())
            waiting = b""
        except UnicodeDecodeError:
            shown.append("")
    return shown


def stream_that_strips_replacement_characters(tokens):
    shown, seen = [], b""
    for token in tokens:
        before = seen.decode(errors="replace").rstrip("\ufffd")
        seen += token
        shown.append(seen.decode(errors="replace").rstrip("\ufffd")[len(before) :])
    return shown


def fewest_by_the_longest_first(text, vocabulary):
    pieces = []
    while text:
        fitting = [piece for piece in vocabulary if text.startswith(piece)]
        if not fitting:
            return None
        pieces.append(max(fitting, key=len))
        text = text[len(pieces[-1]) :]
    return pieces


def fewest_by_the_longest_last(text, vocabulary):
    pieces = fewest_by_the_longest_first(text[::-1], {piece[::-1] for piece in vocabulary})
    return pieces and [piece[::-1] for piece in pieces[::-1]]


def fewest_as_a_number(text, vocabulary):
    least = {0: 0}
    for end in range(1, len(text) + 1):
        ways = [least[i] + 1 for i in range(end) if i in least and text[i:end] in vocabulary]
        if ways:
            least[end] = min(ways)
    return least.get(len(text))


def fewest_with_letters_for_what_is_left(text, vocabulary):
    pieces = []
    while text:
        fitting = [piece for piece in vocabulary if text.startswith(piece)]
        pieces.append(max(fitting, key=len, default=text[0]))
        text = text[len(pieces[-1]) :]
    return pieces


WRONG = {
    "03.1": [utf8_of_two_bytes_at_most, utf8_that_is_latin_1, utf8_with_borders_off_by_one, utf8_backwards],
    "03.2": [
        wordpiece_like_bpe,
        wordpiece_without_how_often_a_word_occurs,
        wordpiece_with_the_last_of_equals,
        wordpiece_dividing_by_the_sum,
    ],
    "03.3": [
        stream_token_by_token,
        stream_that_drops_what_is_unfinished,
        stream_that_waits_for_a_whole_token,
        stream_that_strips_replacement_characters,
    ],
    "03.4": [
        fewest_by_the_longest_first,
        fewest_by_the_longest_last,
        fewest_as_a_number,
        fewest_with_letters_for_what_is_left,
    ],
}
