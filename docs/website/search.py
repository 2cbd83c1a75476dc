"""A Sphinx extension: search for English words and for Chinese ones, without a dictionary.

Chinese isn't written in words. A run of its characters is indexed as single characters and pairs of neighbours, and a
query is cut into pairs in the same way, so that 注意力 finds what has 注意 and 意力.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.search import languages
from sphinx.search.en import SearchEnglish

RUN = re.compile(r"[\u3400-\u9fff]+|[^\W\u3400-\u9fff]+")

# `var`, since Sphinx's own script declares the same name where this one hasn't.
SPLIT_QUERY = r"""
var chinesePairs = (run) => Array.from({ length: run.length - 1 }, (_, i) => run.slice(i, i + 2));
var splitQuery = (query) =>
  (query.match(/[\u3400-\u9fff]+|(?:(?![\u3400-\u9fff])[\p{L}\p{N}_])+/gu) || []).flatMap((run) =>
    /[\u3400-\u9fff]/.test(run) && run.length > 1 ? chinesePairs(run) : [run],
  );
"""


class EnglishAndChinese(SearchEnglish):
    """English words, stemmed; Chinese characters and their pairs."""

    js_splitter_code = SPLIT_QUERY

    def split(self, input: str) -> list[str]:
        """What a text is indexed under."""
        terms = []
        for run in RUN.findall(input):
            if "\u3400" <= run[0] <= "\u9fff":
                terms += [*run, *(run[i : i + 2] for i in range(len(run) - 1))]
            else:
                terms.append(run)
        return terms


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    languages["en"] = EnglishAndChinese
    return {"parallel_read_safe": True, "parallel_write_safe": True}
