"""What is counted: words, Chinese characters, and which of the two a text is cut into."""

import pytest

from minillm.metrics import language_of


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["Ein Mann schläft."], "en"),
        (["我爱北京。", "你好"], "zh"),
        (["one two three four five six seven eight nine 猫"], "zh"),  # a tenth
        (["one two three four five six seven eight nine ten 猫"], "en"),
        (["カタカナだけ"], "en"),  # no Chinese character, and what counts them would find none
        (["", "!?"], "en"),
    ],
)
def test_the_language_is_told_by_the_share_of_chinese_characters(texts, expected):
    assert language_of(texts) == expected
