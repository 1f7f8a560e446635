"""`Corpus`: ordinary text from a file, a folder, a Hugging Face dataset or plain strings, with a name that is its own.

The name goes into the key under which statistics are kept, so it must change with the text. Local text is named by a
hash of what is in it, a dataset by its commit.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from factlens import hub
from factlens.arguments import a_path, a_text, function, items, optional
from factlens.decoding import UTF8, an_encoding
from factlens.errors import FactlensError
from factlens.moments.datasets import dataset_corpus
from factlens.moments.textfiles import fingerprint_of, paragraphs, text_files, texts_in

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Corpus:
    """A text to read.

    Attributes
    ----------
    identity
        What it is, in words that no other text shares.
    read
        Called with a number, it yields the texts from that one on, always the same ones.
    """

    identity: str
    read: Callable[[int], Iterator[str]] = field(repr=False)

    def __post_init__(self) -> None:
        a_text("identity", self.identity, example="'my corpus, version 2'")
        function("read", self.read)

    def __iter__(self) -> Iterator[str]:
        return self.read(0)


Source = str | Path | Iterable[str] | Corpus


def open_corpus(source: Source, *, name: str | None = None, column: str = "text", encoding: str = UTF8) -> Corpus:
    """Return the text that `source` means, ready to be read.

    Parameters
    ----------
    source
        A ``.txt`` or ``.jsonl`` file, also with ``.gz`` behind it; a folder of such; a dataset of the Hugging Face
        Hub, ``"hf:name:config:split:column"``, of which all but the name may be left out (``@`` and a commit may
        follow the name); ``"-"`` for the standard input; or strings. Of a ``.txt`` file every paragraph is one text,
        of a ``.jsonl`` file every line, which holds a string or an object.
    name
        What to call it. Default: what it is, with a hash of what is in it; strings that are made while they are read
        (a generator) must be named.
    column
        Where the text is in the objects of ``.jsonl`` files.
    encoding
        What files, or the standard input, are in, as Python names it: ``"cp1252"``. A byte order mark, also that of
        UTF-16, says so itself.

    Raises
    ------
    ArgumentError
        If `source` is nothing that text is read from, or there is no such encoding.
    FileFormatError
        If a file is not in this encoding (the message says in which it may be), or is damaged.
    FactlensError
        If there is no such text, it is empty, or has no such column. The message says what to do.
    """
    source = a_source("source", source)
    name, column = optional(a_text, "name", name), a_text("column", column, example="'text'")
    encoding = an_encoding("encoding", encoding)
    if isinstance(source, Corpus):
        return source if name is None else Corpus(name, source.read)
    if isinstance(source, str) and source.startswith(hub.PREFIX):
        return _checked(Corpus(*dataset_corpus(source.removeprefix(hub.PREFIX))), name)
    if isinstance(source, str) and source == STANDARD_INPUT:
        source = list(paragraphs(sys.stdin.buffer, "the standard input", encoding))
        name = name or _named("the standard input", source)
    if isinstance(source, str | Path):
        path = a_path("source", source, folder=True).expanduser()
        files = text_files(path)
        return _checked(
            Corpus(fingerprint_of(path, files, encoding), _from(lambda: texts_in(files, column, encoding))), name
        )
    if isinstance(source, list | tuple):
        texts = tuple(source)
        return _checked(Corpus(name or _named(f"{len(texts)} strings", texts), _from(lambda: iter(texts))), name)
    if name is None:
        raise FactlensError("Texts that are made while they are read need a name: pass corpus='what they are'.")
    return Corpus(name, _from(lambda: iter(source)))


def a_source(name: str, value: Any) -> Source:
    """Return the argument `name` if it is something that text can be read from.

    Raises
    ------
    ArgumentError
        Otherwise.
    """
    expected = "text: the path of a file or folder, hf:name, a Corpus, or strings in a list"
    if isinstance(value, Corpus):
        return value
    if isinstance(value, (str, Path)):
        a_path(name, value, folder=True, expected=expected)
        return value
    return items(name, value, expected, example="['A text.', 'Another.']")


def _from(texts: Callable[[], Iterator[str]]) -> Callable[[int], Iterator[str]]:
    return lambda skip: islice(texts(), skip, None)


def _checked(corpus: Corpus, name: str | None) -> Corpus:
    """Read until the first words, so that an error is raised before a model has computed for long."""
    if not any(not isinstance(text, str) or text.strip() for text in corpus):
        raise FactlensError(f"There is no text in {name or corpus.identity}.")
    return corpus if name is None else Corpus(name, corpus.read)


def _named(what: str, texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        data = str(text).encode("utf-8", "surrogatepass")
        # With its length: the same letters cut elsewhere are another corpus.
        digest.update(b"%d:" % len(data) + data)
    return f"{what} (sha256 {digest.hexdigest()[:16]})"
