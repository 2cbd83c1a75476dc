"""Wrong answers to chapter 08's exercises, as people give them. Each must be refused."""

import numpy as np


def arrays(targets, pad):
    shape = (len(targets), max(map(len, targets)) + 1)
    return np.full(shape, pad), np.full(shape, -100)


def forced_without_a_shift(targets, start, end, pad):
    reads, says = arrays(targets, pad)
    for row, target in enumerate(targets):
        reads[row, : len(target) + 1] = says[row, : len(target) + 1] = [*target, end]
    return reads, says


def forced_with_padding_that_counts(targets, start, end, pad):
    reads, says = arrays(targets, pad)
    says[...] = pad
    for row, target in enumerate(targets):
        reads[row, : len(target) + 1] = [start, *target]
        says[row, : len(target) + 1] = [*target, end]
    return reads, says


def forced_with_padding_found_by_its_id(targets, start, end, pad):
    reads, says = forced_with_padding_that_counts(targets, start, end, pad)
    return reads, np.where(says == pad, -100, says)


def forced_that_reads_the_end(targets, start, end, pad):
    _, says = forced_without_a_shift(targets, start, end, pad)
    filled = np.where(says == -100, pad, says)
    return np.concatenate([np.full((len(says), 1), start), filled[:, :-1]], axis=1), says


def forced_without_the_end(targets, start, end, pad):
    reads, says = arrays(targets, pad)
    for row, target in enumerate(targets):
        reads[row, : len(target) + 1] = [start, *target]
        says[row, : len(target)] = target
    return reads, says


def merged(g):
    batch, n_head, time, d_head = g.shape
    return g.transpose(0, 2, 1, 3).reshape(batch, time, n_head * d_head)


def memory_from_the_last_layer(dk, dv, w_k, w_v):
    return merged(dk[-1]) @ w_k[-1].T + merged(dv[-1]) @ w_v[-1].T


def memory_from_keys_alone(dk, dv, w_k, w_v):
    return sum(merged(g) @ w.T for g, w in zip(dk, w_k, strict=True))


def memory_as_a_mean_over_layers(dk, dv, w_k, w_v):
    return sum(merged(g) @ w.T for g, w in zip([*dk, *dv], [*w_k, *w_v], strict=True)) / len(dk)


def memory_with_heads_reshaped_alone(dk, dv, w_k, w_v):
    def flat(g):
        return g.reshape(g.shape[0], g.shape[2], -1)

    return sum(flat(g) @ w.T for g, w in zip([*dk, *dv], [*w_k, *w_v], strict=True))


def memory_with_the_matrices_exchanged(dk, dv, w_k, w_v):
    return sum(merged(g) @ w.T for g, w in zip([*dk, *dv], [*w_v, *w_k], strict=True))


def same(queries, keys):
    return queries[:, :, None] == keys[:, None, :]


def packed_with_padding_that_sees_padding(source_pairs, target_pairs):
    return np.tril(same(target_pairs, target_pairs)), same(target_pairs, source_pairs)


def packed_without_causality(source_pairs, target_pairs):
    there = (target_pairs > 0)[:, :, None]
    return same(target_pairs, target_pairs) & there, same(target_pairs, source_pairs) & there


def packed_with_a_causal_memory(source_pairs, target_pairs):
    there = (target_pairs > 0)[:, :, None]
    return np.tril(same(target_pairs, target_pairs)) & there, np.tril(same(target_pairs, source_pairs)) & there


def packed_with_pairs_that_see_each_other(source_pairs, target_pairs):
    there = (target_pairs > 0)[:, :, None]
    own = np.tril(there & (target_pairs > 0)[:, None, :])
    return own, there & (source_pairs > 0)[:, None, :]


def packed_turned_over(source_pairs, target_pairs):
    there = (target_pairs > 0)[:, :, None]
    return np.tril(same(target_pairs, target_pairs)) & there, same(source_pairs, target_pairs)


def counted(vocab, d, f, encoder, decoder, attention, norms=(2, 3), last=2, cross=2):
    network = 2 * d * f + f + d
    layers = encoder * (attention + network + norms[0] * 2 * d) + decoder * (
        cross * attention + network + norms[1] * 2 * d
    )
    return vocab * d + layers + last * 2 * d


def shared_attention(d, n_head, n_kv_head):
    shared = d // n_head * n_kv_head
    return 2 * (d * d + d) + 2 * (d * shared + shared)


def count_without_sharing(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    return counted(vocab_size, d_model, d_ff, n_encoder, n_decoder, 4 * (d_model**2 + d_model))


def count_with_full_biases(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    attention = 2 * d_model**2 + 2 * d_model * (d_model // n_head * n_kv_head) + 4 * d_model
    return counted(vocab_size, d_model, d_ff, n_encoder, n_decoder, attention)


def count_with_one_attention_in_the_decoder(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    attention = shared_attention(d_model, n_head, n_kv_head)
    return counted(vocab_size, d_model, d_ff, n_encoder, n_decoder, attention, norms=(2, 2), cross=1)


def count_without_the_last_norms(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    attention = shared_attention(d_model, n_head, n_kv_head)
    return counted(vocab_size, d_model, d_ff, n_encoder, n_decoder, attention, last=0)


def count_with_a_head_of_its_own(vocab_size, d_model, d_ff, n_head, n_kv_head, n_encoder, n_decoder):
    attention = shared_attention(d_model, n_head, n_kv_head)
    return counted(2 * vocab_size, d_model, d_ff, n_encoder, n_decoder, attention)


def written(score, batch, start, most, place=-1):
    inputs = np.full((batch, 1), start)
    for _ in range(most):
        inputs = np.concatenate([inputs, score(inputs)[:, place].argmax(-1)[:, None]], axis=1)
    return [row[1:].tolist() for row in inputs]


def cut(row, end):
    return row[: row.index(end)] if end in row else row


def write_to_the_last_and_cut(score, batch, start, end, most):
    return [cut(row, end) for row in written(score, batch, start, most)]


def write_without_an_end(score, batch, start, end, most):
    return written(score, batch, start, most)


def write_until_the_first_row_ends(score, batch, start, end, most):
    inputs = np.full((batch, 1), start)
    for _ in range(most):
        said = score(inputs)[:, -1].argmax(-1)
        if (said == end).any():
            break
        inputs = np.concatenate([inputs, said[:, None]], axis=1)
    return [row[1:].tolist() for row in inputs]


def write_with_ends_left_out(score, batch, start, end, most):
    """Goes on behind an end until all rows have one at once, and drops the ends only."""
    inputs, over = np.full((batch, 1), start), np.zeros(batch, bool)
    for _ in range(most):
        said = score(inputs)[:, -1].argmax(-1)
        over |= said == end
        inputs = np.concatenate([inputs, said[:, None]], axis=1)
        if over.all():
            break
    return [[i for i in row[1:].tolist() if i != end] for row in inputs]


def write_that_reads_starts_only(score, batch, start, end, most):
    rows, live = [[] for _ in range(batch)], np.ones(batch, bool)
    for n in range(most):
        said = score(np.full((batch, n + 1), start))[:, -1].argmax(-1)
        live &= said != end
        if not live.any():
            break
        for row in np.flatnonzero(live):
            rows[row].append(int(said[row]))
    return rows


WRONG = {
    "08.1": [
        forced_without_a_shift,
        forced_with_padding_that_counts,
        forced_with_padding_found_by_its_id,
        forced_that_reads_the_end,
        forced_without_the_end,
    ],
    "08.2": [
        memory_from_the_last_layer,
        memory_from_keys_alone,
        memory_as_a_mean_over_layers,
        memory_with_heads_reshaped_alone,
        memory_with_the_matrices_exchanged,
    ],
    "08.3": [
        packed_with_padding_that_sees_padding,
        packed_without_causality,
        packed_with_a_causal_memory,
        packed_with_pairs_that_see_each_other,
        packed_turned_over,
    ],
    "08.4": [
        count_without_sharing,
        count_with_full_biases,
        count_with_one_attention_in_the_decoder,
        count_without_the_last_norms,
        count_with_a_head_of_its_own,
    ],
    "08.5": [
        write_to_the_last_and_cut,
        write_without_an_end,
        write_until_the_first_row_ends,
        write_with_ends_left_out,
        write_that_reads_starts_only,
    ],
}
