"""Wrong answers to chapter 12's exercises, as people give them. Each must be refused."""

import numpy as np


def softmax(s):
    e = np.exp(s - s.max())
    return e / e.sum()


def discourage_by_division_alone(logits, said, penalty):
    result = logits.copy()
    result[sorted(set(said))] /= penalty
    return result


def discourage_once_for_each_time(logits, said, penalty):
    result = logits.copy()
    for token in said:
        result[token] = result[token] / penalty if result[token] > 0 else result[token] * penalty
    return result


def discourage_by_subtraction(logits, said, penalty):
    result = logits.copy()
    result[sorted(set(said))] -= penalty
    return result


def discourage_in_place(logits, said, penalty):
    for token in set(said):
        logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    return logits


def min_p_against_share_alone(logits, temperature, share):
    p = softmax(logits / temperature)
    kept = np.where(p >= share, p, 0)
    return kept / kept.sum()


def min_p_that_does_not_sum_to_one(logits, temperature, share):
    p = softmax(logits / temperature)
    return np.where(p >= share * p.max(), p, 0)


def min_p_before_the_temperature(logits, temperature, share):
    p = softmax(logits)
    return softmax(np.where(p >= share * p.max(), logits / temperature, -np.inf))


def min_p_strictly_above_the_bar(logits, temperature, share):
    p = softmax(logits / temperature)
    kept = np.where(p > share * p.max(), p, 0)
    return kept / kept.sum()


def noise_divided_by_the_temperature_too(logits, temperature, u):
    return ((logits - np.log(-np.log(u))) / temperature).argmax(axis=1)


def noise_with_one_logarithm(logits, temperature, u):
    return (logits / temperature - np.log(u)).argmax(axis=1)


def noise_with_the_wrong_sign(logits, temperature, u):
    return (logits / temperature + np.log(-np.log(u))).argmax(axis=1)


def noise_left_out(logits, temperature, u):
    return np.full(len(u), (logits / temperature).argmax())


def whole_if_the_last_byte_is_ascii(data):
    return len(data) if not data or data[-1] < 128 else len(data) - 1


def whole_in_threes(data):
    return len(data) // 3 * 3


def whole_up_to_the_last_ascii_byte(data):
    return max((i + 1 for i, byte in enumerate(data) if byte < 128), default=0)


def whole_up_to_the_last_beginning(data):
    starts = [i for i, byte in enumerate(data) if not 128 <= byte < 192]
    return starts[-1] if starts and data[starts[-1]] >= 128 else len(data)


def whole_without_characters_of_four_bytes(data):
    for back in range(1, min(3, len(data)) + 1):
        if not 128 <= data[-back] < 192:
            size = 1 if data[-back] < 128 else 2 if data[-back] < 224 else 3
            return len(data) - back if back < size else len(data)
    return len(data)


def likeliest_greedily(first, following, n):
    tokens = [int(first.argmax())]
    while len(tokens) < n:
        tokens.append(int(following[tokens[-1]].argmax()))
    return tokens


def likeliest_by_a_beam_of_two(first, following, n):
    beams = [(score, [token]) for token, score in enumerate(first)]
    for _ in range(n - 1):
        best = sorted(beams, key=lambda beam: -beam[0])[:2]
        beams = [(s + following[text[-1], t], [*text, t]) for s, text in best for t in range(len(first))]
    return max(beams, key=lambda beam: beam[0])[1]


def likeliest_token_at_each_place(first, following, n):
    p, tokens = np.exp(first), []
    for _ in range(n):
        tokens.append(int(p.argmax()))
        p = p @ np.exp(following)
    return tokens


def likeliest_without_the_way_back(first, following, n):
    best, tokens = first, [int(first.argmax())]
    for _ in range(n - 1):
        best = (best[:, None] + following).max(axis=0)
        tokens.append(int(best.argmax()))
    return tokens


def likeliest_backwards(first, following, n):
    best, sources = first, []
    for _ in range(n - 1):
        ways = best[:, None] + following
        sources.append(ways.argmax(axis=0))
        best = ways.max(axis=0)
    tokens = [int(best.argmax())]
    for source in reversed(sources):
        tokens.append(int(source[tokens[-1]]))
    return tokens


WRONG = {
    "12.1": [
        discourage_by_division_alone,
        discourage_once_for_each_time,
        discourage_by_subtraction,
        discourage_in_place,
    ],
    "12.2": [
        min_p_against_share_alone,
        min_p_that_does_not_sum_to_one,
        min_p_before_the_temperature,
        min_p_strictly_above_the_bar,
    ],
    "12.3": [
        noise_divided_by_the_temperature_too,
        noise_with_one_logarithm,
        noise_with_the_wrong_sign,
        noise_left_out,
    ],
    "12.4": [
        whole_if_the_last_byte_is_ascii,
        whole_in_threes,
        whole_up_to_the_last_ascii_byte,
        whole_up_to_the_last_beginning,
        whole_without_characters_of_four_bytes,
    ],
    "12.5": [
        likeliest_greedily,
        likeliest_by_a_beam_of_two,
        likeliest_token_at_each_place,
        likeliest_without_the_way_back,
        likeliest_backwards,
    ],
}
