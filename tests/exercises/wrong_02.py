"""Wrong answers to chapter 02's exercises, as people give them. Each must be refused."""

import hashlib
import unicodedata

import numpy as np


def beginning_by_characters(text, size):
    return text[:size]


def beginning_with_a_replacement_character(text, size):
    return text.encode()[:size].decode(errors="replace")


def beginning_without_all_replacement_characters(text, size):
    return text.encode()[:size].decode(errors="replace").replace("\ufffd", "")


def beginning_that_stops_early(text, size):
    while len(text.encode()) >= size and text:
        text = text[:-1]
    return text


def filled(sentences, pad_id):
    ids = np.full((len(sentences), max(map(len, sentences))), pad_id)
    for row, sentence in zip(ids, sentences, strict=True):
        row[: len(sentence)] = sentence
    return ids


def targets_with_pads(sentences, pad_id):
    ids = filled(sentences, pad_id)
    return ids[:, :-1], ids[:, 1:]


def targets_by_looking_for_the_pad(sentences, pad_id):
    ids = filled(sentences, pad_id)
    return ids[:, :-1], np.where(ids[:, 1:] == pad_id, -100, ids[:, 1:])


def inputs_with_the_last_id(sentences, pad_id):
    ids, targets = filled(sentences, pad_id), filled([s[1:] for s in sentences], -100)
    return ids[:, :-1], targets


def targets_not_shifted(sentences, pad_id):
    return filled([s[:-1] for s in sentences], pad_id), filled([s[:-1] for s in sentences], -100)


def number(key, order="big"):
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], order)


def key(text):
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_by_the_text_itself(texts, share):
    return [number(text) < share * 2**64 for text in texts]


def split_by_nfc(texts, share):
    return [number(" ".join(unicodedata.normalize("NFC", t).casefold().split())) < share * 2**64 for t in texts]


def split_by_little_endian(texts, share):
    return [number(key(text), "little") < share * 2**64 for text in texts]


def split_by_place(texts, share):
    return [i < share * len(texts) for i in range(len(texts))]


def split_by_lower(texts, share):
    return [number(" ".join(unicodedata.normalize("NFKC", t).lower().split())) < share * 2**64 for t in texts]


def pieces_of(texts, n):
    return [{text[i : i + n] for i in range(max(len(text) - n, 0) + 1)} for text in texts]


def groups_with_the_first_only(texts, n, threshold):
    """Each text is compared with the first of each group."""
    pieces, found = pieces_of(texts, n), []
    for i, a in enumerate(pieces):
        for group in found:
            b = pieces[group[0]]
            if len(a & b) >= threshold * len(a | b):
                group.append(i)
                break
        else:
            found.append([i])
    return found


def groups_that_never_merge(texts, n, threshold):
    """Each text joins the first group in which any text is like it."""
    pieces, found = pieces_of(texts, n), []
    for i, a in enumerate(pieces):
        for group in found:
            if any(len(a & pieces[j]) >= threshold * len(a | pieces[j]) for j in group):
                group.append(i)
                break
        else:
            found.append([i])
    return found


def groups_above_the_threshold(texts, n, threshold):
    return groups_that_never_merge(texts, n, threshold + 1e-9)


def groups_without_short_texts(texts, n, threshold):
    pieces = [{text[i : i + n] for i in range(len(text) - n + 1)} for text in texts]
    group = list(range(len(texts)))
    for i, a in enumerate(pieces):
        for j, b in enumerate(pieces[:i]):
            if len(a & b) >= threshold * max(len(a | b), 1):
                group = [group[j] if g == group[i] else g for g in group]
    return [[i for i, g in enumerate(group) if g == one] for one in dict.fromkeys(group)]


def mistakes(similarities, threshold, bands, rows):
    found = 1 - (1 - similarities**rows) ** bands
    return np.where(similarities >= threshold, 1 - found, found)


def ways(k):
    return [(b, k // b) for b in range(1, k + 1) if k % b == 0]


def bands_with_rows_first(similarities, threshold, k):
    b, r = min(ways(k), key=lambda way: mistakes(similarities, threshold, *way).sum())
    return r, b


def bands_that_miss_nothing(similarities, threshold, k):
    wanted = similarities[similarities >= threshold]
    return min(ways(k), key=lambda way: mistakes(wanted, threshold, *way).sum())


def bands_by_the_steep_point(similarities, threshold, k):
    return min(ways(k), key=lambda way: abs((1 / way[0]) ** (1 / way[1]) - threshold))


def bands_above_the_threshold(similarities, threshold, k):
    return min(ways(k), key=lambda way: mistakes(similarities, threshold + 1e-9, *way).sum())


WRONG = {
    "02.1": [
        beginning_by_characters,
        beginning_with_a_replacement_character,
        beginning_without_all_replacement_characters,
        beginning_that_stops_early,
    ],
    "02.2": [targets_with_pads, targets_by_looking_for_the_pad, inputs_with_the_last_id, targets_not_shifted],
    "02.3": [
        split_by_the_text_itself,
        split_by_nfc,
        split_by_little_endian,
        split_by_place,
        split_by_lower,
    ],
    "02.4": [
        groups_with_the_first_only,
        groups_that_never_merge,
        groups_above_the_threshold,
        groups_without_short_texts,
    ],
    "02.5": [
        bands_with_rows_first,
        bands_that_miss_nothing,
        bands_by_the_steep_point,
        bands_above_the_threshold,
    ],
}
