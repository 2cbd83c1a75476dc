"""Wrong answers to chapter 16's exercises, as people give them. Each must be refused."""

import math

import numpy as np


def rows_that_count_no_activations(d_in, d_out, bits, peak, bandwidth):
    return math.ceil(bits / 8 / bandwidth / (2 / peak))


def rows_with_bits_for_bytes(d_in, d_out, bits, peak, bandwidth):
    row = 2 * d_in * d_out / peak - 4 * (d_in + d_out) / bandwidth
    return max(1, math.ceil(d_in * d_out * bits / bandwidth / row)) if row > 0 else None


def rows_rounded_down(d_in, d_out, bits, peak, bandwidth):
    row = 2 * d_in * d_out / peak - 4 * (d_in + d_out) / bandwidth
    return int(d_in * d_out * bits / 8 / bandwidth / row) if row > 0 else None


def rows_without_a_case_for_never(d_in, d_out, bits, peak, bandwidth):
    row = 2 * d_in * d_out / peak - 4 * (d_in + d_out) / bandwidth
    return max(1, math.ceil(d_in * d_out * bits / 8 / bandwidth / row))


def rows_with_one_operation_for_two(d_in, d_out, bits, peak, bandwidth):
    row = d_in * d_out / peak - 4 * (d_in + d_out) / bandwidth
    return max(1, math.ceil(d_in * d_out * bits / 8 / bandwidth / row)) if row > 0 else None


def merge_without_factors(parts):
    return sum(mixed for _, _, mixed in parts) / sum(total for _, total, _ in parts)


def merge_as_a_mean_of_outputs(parts):
    return np.mean([mixed / total for _, total, mixed in parts if total], axis=0)


def merge_that_overflows(parts):
    factors = [np.exp(m) for m, _, _ in parts]
    mixed = sum(f * part for f, (_, _, part) in zip(factors, parts, strict=True))
    return mixed / sum(f * total for f, (_, total, _) in zip(factors, parts, strict=True))


def merge_that_starts_with_nothing(parts):
    m, total, mixed = -np.inf, 0.0, 0.0
    for m_part, total_part, mixed_part in parts:
        new = max(m, m_part)
        total = total * np.exp(m - new) + total_part * np.exp(m_part - new)
        mixed = mixed * np.exp(m - new) + mixed_part * np.exp(m_part - new)
        m = new
    return mixed / total


def merge_with_the_last_maximum(parts):
    last = parts[-1][0]
    total = sum(np.exp(m - last) * part for m, part, _ in parts)
    return sum(np.exp(m - last) * part for m, _, part in parts) / total


def variance_as_a_difference(pieces):
    n = sum(map(len, pieces))
    mean = sum(piece.sum() for piece in pieces) / n
    return mean, sum((piece**2).sum() for piece in pieces) / n - mean**2


def variance_as_a_mean_of_variances(pieces):
    pieces = [piece for piece in pieces if len(piece)]
    return np.concatenate(pieces).mean(), np.mean([piece.var() for piece in pieces])


def variance_with_a_mean_of_means(pieces):
    pieces = [piece for piece in pieces if len(piece)]
    return np.mean([piece.mean() for piece in pieces]), np.concatenate(pieces).var()


def variance_divided_by_n_minus_1(pieces):
    x = np.concatenate(pieces)
    return x.mean(), ((x - x.mean()) ** 2).sum() / max(len(x) - 1, 1)


def variance_within_pieces_alone(pieces):
    n = sum(map(len, pieces))
    return np.concatenate(pieces).mean(), sum(len(piece) * piece.var() for piece in pieces if len(piece)) / n


def tiles_from_the_first_key(queries, keys, rows, columns):
    tiles = []
    for i in range(-(-queries // rows)):
        for j in range(-(-keys // columns)):
            last = min((i + 1) * rows, queries) - 1
            if j * columns <= last:
                tiles.append((i, j, min((j + 1) * columns, keys) - 1 <= i * rows))
    return tiles


def tiles_all_of_them(queries, keys, rows, columns):
    return [(i, j, False) for i in range(-(-queries // rows)) for j in range(-(-keys // columns))]


def tiles_by_the_diagonal(queries, keys, rows, columns):
    return [(i, j, j < i) for i in range(-(-queries // rows)) for j in range(-(-keys // columns)) if j <= i]


def tiles_that_come_out_even(queries, keys, rows, columns):
    tiles = []
    for i in range(-(-queries // rows)):
        for j in range(-(-keys // columns)):
            if j * columns <= (i + 1) * rows - 1 + keys - queries:
                tiles.append((i, j, (j + 1) * columns - 1 <= i * rows + keys - queries))
    return tiles


def int4(weight, group, round_=np.rint, scale_of=None, first_is_low=True):
    rows, n = weight.shape
    groups = weight.reshape(rows, n // group, group)
    largest = np.abs(groups).max(axis=2, keepdims=True)
    scales = np.where(largest > 0, largest / 7, 1.0) if scale_of is None else scale_of(groups)
    q = (round_(groups / scales) + 8).astype(np.uint8).reshape(rows, n // 2, 2)
    low, high = (q[..., 0], q[..., 1]) if first_is_low else (q[..., 1], q[..., 0])
    return low | (high << 4), np.broadcast_to(scales, largest.shape)[..., 0]


def int4_with_the_first_on_top(weight, group):
    return int4(weight, group, first_is_low=False)


def int4_cut_instead_of_rounded(weight, group):
    return int4(weight, group, round_=np.trunc)


def int4_with_one_scale_a_row(weight, group):
    def of_the_row(groups):
        largest = np.abs(groups).max(axis=(1, 2), keepdims=True)
        return np.where(largest > 0, largest / 7, 1.0)

    return int4(weight, group, scale_of=of_the_row)


def int4_without_the_absolute_value(weight, group):
    return int4(weight, group, scale_of=lambda groups: np.maximum(groups.max(axis=2, keepdims=True), 1e-9) / 7)


def int4_that_divides_by_zero(weight, group):
    return int4(weight, group, scale_of=lambda groups: np.abs(groups).max(axis=2, keepdims=True) / 7)


WRONG = {
    "16.1": [
        rows_that_count_no_activations,
        rows_with_bits_for_bytes,
        rows_rounded_down,
        rows_without_a_case_for_never,
        rows_with_one_operation_for_two,
    ],
    "16.2": [
        merge_without_factors,
        merge_as_a_mean_of_outputs,
        merge_that_overflows,
        merge_that_starts_with_nothing,
        merge_with_the_last_maximum,
    ],
    "16.3": [
        variance_as_a_difference,
        variance_as_a_mean_of_variances,
        variance_with_a_mean_of_means,
        variance_divided_by_n_minus_1,
        variance_within_pieces_alone,
    ],
    "16.4": [tiles_from_the_first_key, tiles_all_of_them, tiles_by_the_diagonal, tiles_that_come_out_even],
    "16.5": [
        int4_with_the_first_on_top,
        int4_cut_instead_of_rounded,
        int4_with_one_scale_a_row,
        int4_without_the_absolute_value,
        int4_that_divides_by_zero,
    ],
}
