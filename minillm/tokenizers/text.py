"""What tokenizers ask of the texts they learn from."""

from collections.abc import Iterable, Iterator

from minillm.errors import TokenError


def documents(texts: Iterable[str]) -> Iterator[str]:
    """The texts one by one, lone surrogates read as U+FFFD; TokenError for a bare string or what is no text."""
    if isinstance(texts, str):
        raise TokenError("train takes a list (or any iterable) of texts; put a single text in brackets: [text]")
    for text in texts:
        if not isinstance(text, str):
            raise TokenError(f"train takes texts (str), not {type(text).__name__}; decode bytes first")
        yield without_lone_surrogates(text)


def without_lone_surrogates(text: str) -> str:
    """`text` as UTF-8 can hold it: two surrogates that make a pair become its character, others U+FFFD."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
