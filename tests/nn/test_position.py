"""Positions in closed form."""

import numpy as np
import pytest

from minillm import Tensor, nn
from minillm.errors import ShapeError


def test_sinusoidal_positions_are_the_papers_waves():
    d, length = 6, 50
    table = nn.SinusoidalPositions(length, d, "float64")(Tensor(np.zeros((1, length, d)))).numpy()[0]
    for pos in (0, 1, 7, 49):
        for i in range(d):
            wave = np.cos if i % 2 else np.sin
            assert table[pos, i] == pytest.approx(wave(pos / 10000 ** ((i - i % 2) / d)), abs=1e-12)


def test_sinusoidal_products_depend_on_the_distance_only():
    """PE(p) · PE(p + k) = Σ_i cos(k ω_i)"""
    table = nn.SinusoidalPositions(40, 8, "float64")(Tensor(np.zeros((1, 40, 8)))).numpy()[0]
    frequencies = 10000.0 ** -(np.arange(0, 8, 2) / 8)
    for distance in (0, 1, 5):
        products = (table[: 40 - distance] * table[distance:]).sum(1)
        np.testing.assert_allclose(products, np.cos(distance * frequencies).sum(), rtol=1e-12)


def test_an_odd_width_ends_with_a_sine():
    table = nn.SinusoidalPositions(4, 5, "float64")(Tensor(np.zeros((1, 4, 5)))).numpy()[0]
    np.testing.assert_allclose(table[:, 4], np.sin(np.arange(4) / 10000 ** (4 / 5)))


def test_rotary_products_of_queries_and_keys_depend_on_the_distance_only():
    rng, rotary = np.random.default_rng(0), nn.RotaryPositions(60, 8, "float64")
    q, k = rng.normal(size=(2, 1, 1, 1, 8))

    def product(at_q, at_k):
        return float((rotary(q, start=at_q).numpy() * rotary(k, start=at_k).numpy()).sum())

    for distance in (0, 3, 17):
        first = product(distance, 0)
        for shift in (1, 10, 40):
            assert product(shift + distance, shift) == pytest.approx(first, abs=1e-12)
    assert abs(product(5, 0) - product(6, 0)) > 1e-3


def test_rotary_turns_keep_lengths_and_position_0_is_untouched():
    x, rotary = np.random.default_rng(0).normal(size=(1, 2, 9, 6)), nn.RotaryPositions(9, 6, "float64")
    y = rotary(x).numpy()
    pairs = (*x.shape[:-1], 3, 2)
    lengths = [np.linalg.norm(z.reshape(pairs), axis=-1) for z in (x, y)]
    np.testing.assert_allclose(lengths[1], lengths[0], rtol=1e-12)
    np.testing.assert_array_equal(y[:, :, 0], x[:, :, 0])


@pytest.mark.parametrize("kind", [nn.LearnedPositions, nn.SinusoidalPositions, nn.RotaryPositions])
def test_starting_later_equals_the_tail_of_starting_at_0(kind):
    positions = kind(10, 4, "float64")
    x = np.random.default_rng(0).normal(size=(2, 3, 10, 4) if kind is nn.RotaryPositions else (2, 10, 4))
    whole = positions(Tensor(x)).numpy()
    np.testing.assert_array_equal(positions(Tensor(x[..., 6:, :]), start=6).numpy(), whole[..., 6:, :])


@pytest.mark.parametrize("kind", [nn.LearnedPositions, nn.SinusoidalPositions, nn.RotaryPositions])
@pytest.mark.parametrize(("start", "time"), [(0, 5), (3, 2), (4, 1)])
def test_positions_beyond_the_table_are_refused(kind, start, time):
    x = np.zeros((1, 1, time, 4) if kind is nn.RotaryPositions else (1, time, 4))
    with pytest.raises(ShapeError, match=f"positions {start} to {start + time - 1} are needed, but there are 4"):
        kind(4, 4)(Tensor(x), start=start)
