"""Random streams: named, independent, saved as two integers, and the same everywhere."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import minillm as ml
from minillm import nn, ops, seeding


@pytest.fixture(autouse=True)
def streams_left_as_they_were():
    before = seeding.get_state()
    yield
    seeding.set_state(before)


def test_the_same_seed_gives_the_same_weights_and_masks():
    def weights_and_mask():
        ml.seed(42)
        linear, x = nn.Linear(4, 3), ml.Tensor(np.ones((5, 5), np.float32))
        return linear.weight.numpy().copy(), nn.Dropout(0.5)(x).numpy().copy()

    (w1, m1), (w2, m2) = weights_and_mask(), weights_and_mask()
    np.testing.assert_array_equal(w1, w2)
    np.testing.assert_array_equal(m1, m2)
    ml.seed(43)
    assert not np.array_equal(nn.Linear(4, 3).weight.numpy(), w1)


def test_every_draw_of_a_stream_differs():
    ml.seed(0)
    drawn = [seeding.generator("init").random(4).tobytes() for _ in range(50)]
    assert len(set(drawn)) == 50
    keys = [seeding.next_key("dropout") for _ in range(50)]
    assert [counter for _, counter in keys] == list(range(50))


def test_streams_do_not_disturb_each_other():
    ml.seed(0)
    alone = seeding.generator("init").random(4)
    ml.seed(0)
    for _ in range(7):
        seeding.next_key("dropout")
    np.testing.assert_array_equal(seeding.generator("init").random(4), alone)
    ml.seed(0)
    assert seeding.next_key("init") != seeding.next_key("dropout")


def test_a_state_goes_through_json_and_continues_exactly():
    ml.seed(9)
    seeding.next_key("dropout")
    seeding.generator("init")
    state = json.loads(json.dumps(seeding.get_state()))
    following = [seeding.next_key("dropout"), seeding.generator("init").random()]
    ml.seed(1)
    seeding.set_state(state)
    assert [seeding.next_key("dropout"), seeding.generator("init").random()] == following


def test_a_state_once_taken_is_not_changed_by_later_draws():
    ml.seed(0)
    state = seeding.get_state()
    seeding.next_key("dropout")
    assert state["dropout"] == 0


def test_a_dropout_key_is_a_place_in_a_philox_stream():
    """The mask is NumPy's Philox with that key and counter: nothing else enters it."""
    key, counter = 123, 5
    words = np.random.Philox(key=key, counter=[0, 0, counter, 0]).random_raw(50).view(np.uint32)
    kept = ops.dropout(np.ones(100), p=0.3, key=(key, counter)).numpy() != 0
    np.testing.assert_array_equal(kept, words / 2**32 >= 0.3)


def test_large_masks_begin_with_the_small_ones():
    """Element i depends on i, not on the shape: a kernel may draw any part of a mask by itself."""
    small = ops.dropout(np.ones(10), p=0.5, key=(1, 2)).numpy()
    large = ops.dropout(np.ones((100, 7)), p=0.5, key=(1, 2)).numpy()
    np.testing.assert_array_equal(large.reshape(-1)[:10], small)


def test_weights_are_the_same_in_every_process_whatever_its_hash_seed():
    program = "import minillm as ml; ml.seed(5); print(ml.nn.Linear(3, 2).weight.numpy().tobytes().hex())"
    outputs = set()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.add(done.stdout.strip())
    ml.seed(5)
    assert outputs == {nn.Linear(3, 2).weight.numpy().tobytes().hex()}
