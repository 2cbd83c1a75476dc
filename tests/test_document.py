"""`python -m minillm.document --section 4.3.2`: the document's large model, counted and trained by a step."""

import dataclasses

import pytest

from minillm import document
from minillm.models import Seq2SeqConfig


def encoder_layer(d: int, ff: int) -> int:
    """Four d×d projections and two feed-forward matrices with their biases, and two norms."""
    return 4 * (d * d + d) + (d * ff + ff) + (ff * d + d) + 2 * 2 * d


def decoder_layer(d: int, ff: int) -> int:
    """As the encoder's, with a second attention and a third norm."""
    return encoder_layer(d, ff) + 4 * (d * d + d) + 2 * d


def test_the_section_is_8_heads_of_64_with_20_and_2_layers() -> None:
    config = document.SECTION_432
    assert config.n_head == 8 and config.d_model // config.n_head == 64
    assert config.n_encoder_layer * encoder_layer(512, 2048) + config.n_decoder_layer * decoder_layer(512, 2048) == (
        71_455_744
    )
    assert document.SOURCE.tolist() == [list(range(1, 21))]


def test_a_small_one_of_its_kind_is_counted_and_trained(capsys: pytest.CaptureFixture[str]) -> None:
    small = dataclasses.replace(document.SECTION_432, d_model=16, n_head=2, d_ff=24, n_encoder_layer=3)
    expected = 3 * encoder_layer(16, 24) + 2 * decoder_layer(16, 24)
    text = document.section_432(small)
    assert "2 heads of 8, 3 encoder layers and 2 decoder layers" in text
    assert f"{expected:,} parameters, and {1003 * 16:,} in the embeddings" in text
    assert "one step, 20 words to 3:" in text


@pytest.mark.slow
def test_the_command_builds_and_trains_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert document.main(["--section", "4.3.2"]) == 0
    assert "71,455,744 parameters" in capsys.readouterr().out


def test_another_section_is_refused_under_the_command_s_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        document.main(["--section", "9.9"])
    assert "python -m minillm.document: error: argument --section: invalid choice" in capsys.readouterr().err


def test_without_flags_it_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert document.main([]) == 2
    assert "--section 4.3.2" in capsys.readouterr().out
    assert isinstance(document.SECTION_432, Seq2SeqConfig)
