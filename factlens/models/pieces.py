"""The text of tokens, also of those that hold only a part of a character.

Byte-level tokenizers cut rare characters into bytes, and so do those of SentencePiece's kind with byte fallback. Such a
token has no text of its own: its bytes are shown, between angle brackets. Several tokens in a row make up the
characters that they make up.

A prompt is known, and each of its tokens is shown as it stands there: see `prompt_pieces`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
_MARKED = re.compile(r"⟨[0-9A-F]{2}(?: [0-9A-F]{2})*⟩")
_BROKEN = "\ufffd"


def text_of(tokenizer: Any, ids: Iterable[int]) -> str:
    """Return the text of some tokens in a row, the leading space included.

    Parameters
    ----------
    tokenizer
        A fast Hugging Face tokenizer.
    ids
        Token ids.

    Returns
    -------
    str
        Bytes that make up no whole character stand as ``"⟨E3 83⟩"``.

    Examples
    --------
    >>> text_of(tokenizer, tokenizer("東").input_ids[:1])  # doctest: +SKIP
    '⟨E6⟩'
    """
    return _text(tokenizer, list(ids), b"")


def prompt_pieces(tokenizer: Any, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return the text of each token of a prompt.

    Parameters
    ----------
    tokenizer
        A fast Hugging Face tokenizer.
    text
        The prompt.
    ids, offsets
        Its tokens, and from which character to which each of them goes.

    Returns
    -------
    tuple of str
        A token of whole characters is what the user wrote, also where the tokenizer reads something else (lower case,
        a composed letter). White space belongs to the token that follows it. A token that shares a character with
        another is what itself holds of it: bytes, ``"⟨E6⟩"``, or letters, of a character that is read as several. A
        special token has its name.
    """
    own = [_own(tokenizer, token) for token in ids]
    # A space that the tokenizer puts before the first word shares the span of that word's first letter.
    added = [
        u < v and not piece.strip(" ") and not text[u:v].isspace() for piece, (u, v) in zip(own, offsets, strict=True)
    ]
    holders = [0] * len(text)
    for (u, v), extra in zip(offsets, added, strict=True):
        for place in range(u, 0 if extra else v):
            holders[place] += 1
    pieces: list[str] = []
    end, last = 0, -1  # where the last token with a text ended, and which it was; -1 if it holds parts of characters
    for piece, (u, v), extra in zip(own, offsets, added, strict=True):
        if u == v or extra:
            pieces.append(piece)
            # White space to which the tokenizer gives no place in the text.
            if u == v and piece.isspace() and text.startswith(piece, end):
                end += len(piece)
            continue
        # What a normaliser has taken away, or put together with the letter before it, belongs to the token before.
        between = text[end:u] if end < u else ""
        gone = "".join(takewhile(lambda c: not c.isspace(), between)) if end else ""
        between = between[len(gone) :]
        if last >= 0:
            pieces[last] += gone
        if max(holders[u:v]) < 2:
            last = len(pieces)
            pieces.append(between + text[u:v])
        else:
            # Tokens of bytes hold the white space before them, unless it is no part of any token.
            last = -1
            pieces.append(piece if piece.startswith(between) else between + piece)
        end = max(end, v)
    if last >= 0:
        pieces[last] += text[end:]
    return tuple(pieces)


def missing_tail(tokenizer: Any, ids: Sequence[int]) -> bytes:
    """Return the bytes of the character that some tokens begin and do not end; empty if they end with a whole one."""
    held = b""
    for token in reversed(ids):
        data = bytes_of(tokenizer, token)
        if data is None:
            break
        held = data + held
        # No character has more than four bytes.
        if len(held) > 4:
            break
    # Bytes that belong to a character before these are none of the decoder's errors.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(held)
    return decoder.getstate()[0]


def with_character(tokenizer: Any, ids: Sequence[int], following: Sequence[int]) -> str | None:
    """Return the text of some tokens up to the end of the character that they begin last.

    Parameters
    ----------
    tokenizer
        A fast Hugging Face tokenizer.
    ids
        Tokens that end inside a character.
    following
        The tokens behind them.

    Returns
    -------
    str or None
        None if those do not, or do not yet, complete the character.
    """
    tail = missing_tail(tokenizer, ids)
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    decoder.decode(tail)
    more = b""
    for token in following:
        for byte in bytes_of(tokenizer, token) or b"":
            more += bytes([byte])
            try:
                if decoder.decode(bytes([byte])):
                    return _text(tokenizer, list(ids), more)
            except UnicodeDecodeError:
                return None
    return None


def is_marked(text: str) -> bool:
    """Say whether a token's text shows bytes that are no whole character."""
    return _MARKED.search(text) is not None


def _own(tokenizer: Any, token: int) -> str:
    """Return what a single token of a prompt holds, in its own words."""
    name = str(tokenizer.convert_ids_to_tokens(token))
    if token in tokenizer.all_special_ids:
        return name
    if (data := bytes_of(tokenizer, token)) is not None:
        return _marked(data)
    # The sign of WordPiece that a word goes on is no part of the word.
    sign = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
    return name.removeprefix(sign) if sign else str(tokenizer.decode([token]))


def _text(tokenizer: Any, ids: list[int], more: bytes) -> str:
    """Return the text of some tokens, and of the bytes behind them."""
    text = str(tokenizer.decode(ids))
    if _BROKEN not in text and not more:
        return text
    parts: list[str] = []
    held = b""
    for token in ids:
        data = bytes_of(tokenizer, token)
        if data is None:
            parts += [_marked(held), str(tokenizer.decode([token]))]
            held = b""
        else:
            held += data
    joined = "".join((*parts, _marked(held + more)))
    # Some tokenizers leave out the space before the first word, as they have put it there themselves.
    return joined[1:] if joined.startswith(" ") and not text.startswith(" ") else joined


def bytes_of(tokenizer: Any, token: int) -> bytes | None:
    """Return the bytes of a token; None if it is not made of bytes, as a special one is not."""
    piece = str(tokenizer.convert_ids_to_tokens(token))
    if token in tokenizer.all_special_ids:
        return None
    if fallback := _FALLBACK.fullmatch(piece):
        return bytes([int(fallback[1], 16)])
    if not _is_byte_level(tokenizer):
        return piece.replace("▁", " ").encode() if "▁" in piece else None
    byte_of = _bytes_by_letter()
    return bytes(byte_of[c] for c in piece) if all(c in byte_of for c in piece) else None


def _is_byte_level(tokenizer: Any) -> bool:
    decoder = tokenizer.backend_tokenizer.decoder
    if decoder is None:
        return False
    # The decoder's own description; one of several in a row does not show itself otherwise.
    description = json.loads(decoder.__getstate__())
    return "ByteLevel" in {description.get("type"), *(part.get("type") for part in description.get("decoders", ()))}


@cache
def _bytes_by_letter() -> dict[str, int]:
    """Return which byte each letter of a byte-level vocabulary stands for: printable ones for themselves."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(rest)}


def _marked(data: bytes) -> str:
    """Decode UTF-8, with the bytes that are no whole character between angle brackets."""
    text = data.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]+", lambda match: f"⟨{' '.join(f'{ord(c) - 0xDC00:02X}' for c in match[0])}⟩", text)
