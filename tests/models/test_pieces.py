"""Parts of characters are shown as the bytes that they are, by every kind of tokenizer."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from factlens.models.pieces import bytes_of, missing_tail, prompt_pieces, text_of, with_character
from tests.support import TEXT, small_model, tokenizer

WILD = ["東京 is 🗼", "Zürich", "e\u0301", "👩\u200d👩\u200d👧", "שלום", "\u00a0x", "a\ufffdb", "कि", "\U0010ffff"]


@cache
def sentencepiece_like() -> PreTrainedTokenizerFast:
    """With spaces as part of words, and bytes for what it has no piece for."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    plain = [text.encode("ascii", "ignore").decode() for text in TEXT]
    raw.train_from_iterator(plain, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False))
    # The bytes are no special tokens; only the trainer wants to have them first.
    trained = Tokenizer.from_str(raw.to_str())
    return PreTrainedTokenizerFast(tokenizer_object=trained, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


@cache
def wordpiece() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    raw.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]")


KINDS = {"byte-level": tokenizer, "byte fallback": sentencepiece_like}


@pytest.mark.parametrize("text", WILD)
@pytest.mark.parametrize("kind", KINDS)
def test_all_bytes_of_a_text_are_there(kind: str, text: str) -> None:
    tok = KINDS[kind]()
    ids = tok(text, add_special_tokens=False)["input_ids"]
    if kind == "byte-level":
        assert b"".join(bytes_of(tok, i) or b"?" for i in ids) == text.encode()
    assert text_of(tok, ids) == text
    for cut in range(1, len(ids)):
        part = text_of(tok, ids[:cut])
        whole, _, rest = part.partition("⟨")
        assert text.startswith(whole)
        assert not rest or rest.split("⟩")[0].replace(" ", "").isalnum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_character_is_its_bytes(kind: str) -> None:
    tok = KINDS[kind]()
    shown = [text_of(tok, [i]) for i in tok("🗼", add_special_tokens=False)["input_ids"]]
    marked = [piece for piece in shown if "⟨" in piece]
    assert " ".join(marked).replace("⟨", "").replace("⟩", "") == "F0 9F 97 BC"
    assert not any(c in "".join(shown) for c in "\ufffdÄĠĹ<")


def test_tokens_without_bytes_are_what_the_tokenizer_says() -> None:
    tok = wordpiece()
    ids = tok("The Space Needle 東")["input_ids"]
    assert text_of(tok, ids).startswith("The Space Needle")
    assert bytes_of(tok, ids[0]) is None
    special = tokenizer()
    assert bytes_of(special, special.eos_token_id) is None
    assert text_of(special, [special.eos_token_id, *special("🗼")["input_ids"][:1]]) == "<|endoftext|>⟨F0 9F⟩"


def test_answers_and_pieces_of_a_model() -> None:
    model = small_model("gpt2")
    for answer in model.answers("In Paris, the", k=340):
        assert "\ufffd" not in answer.text
        assert answer.text == text_of(model.tokenizer, [answer.id])


# Prompts -------------------------------------------------------------------------------------------------------------


def changed(tok: PreTrainedTokenizerFast, **parts: object) -> PreTrainedTokenizerFast:
    """A tokenizer with another normalizer or post-processor."""
    raw = Tokenizer.from_str(tok.backend_tokenizer.to_str())
    for name, part in parts.items():
        setattr(raw, name, part)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


READERS = {
    "byte-level": tokenizer,
    "beginning of text": lambda: tokenizer(bos=True),
    "trimmed": lambda: changed(tokenizer(), post_processor=processors.ByteLevel(trim_offsets=True)),
    "NFKC": lambda: changed(tokenizer(), normalizer=normalizers.NFKC()),
    "NFD": lambda: changed(tokenizer(), normalizer=normalizers.NFD()),
    "lower case": lambda: changed(tokenizer(), normalizer=normalizers.Lowercase()),
    "byte fallback": sentencepiece_like,
    "WordPiece": wordpiece,
}
#: What is shown of a prompt, by the tokenizers that show it so.
SHOWN: list[tuple[str, str, list[str]]] = [
    ("byte-level", "The 東京 is", ["The", " ", "⟨E6 9D⟩", "⟨B1 E4⟩", "⟨BA AC⟩", " is"]),
    ("beginning of text", "Zürich", ["<|endoftext|>", "Z⟨C3⟩", "⟨BC⟩ri", "ch"]),
    ("trimmed", "The 🗼 x", ["The", " ", "⟨F0 9F⟩", "⟨97⟩", "⟨BC⟩", " ", "x"]),
    ("byte fallback", "東", [" ", "⟨E6⟩", "⟨9D⟩", "⟨B1⟩"]),
    ("byte fallback", "Zürich", [" ", "Z", "⟨C3⟩", "⟨BC⟩", "ri", "ch"]),
    ("WordPiece", "Zürich 東京 is", ["Zürich", " 東京", " is"]),
    ("WordPiece", "Needles", ["Needle", "s"]),
    ("lower case", "The Needle", ["T", "he", " Ne", "edle"]),
    ("NFKC", "ﬁne ½", ["f", "in", "e", " ", "1", "⟨E2⟩", "⟨81⟩", "⟨84⟩", "2"]),
    ("NFKC", "e\u0301 x", ["⟨C3⟩", "⟨A9⟩", " ", "x"]),
    ("NFKC", "Ｔhe Ｎeedle", ["Ｔhe", " ", "Ｎe", "edle"]),
    ("NFD", "é", ["e", "⟨CC⟩", "⟨81⟩"]),
]
PLAIN = [
    "The Space Needle is",
    "In  Paris,\n\tthe",
    " is",
    "<|endoftext|> is",
    "e\u0301",
    "a\u200db",
    "שלום",
    "कि 👍🏽",
]


def pieces_of(reader: str, text: str) -> list[str]:
    tok = READERS[reader]()
    encoded = tok(text, return_offsets_mapping=True)
    return list(prompt_pieces(tok, text, encoded["input_ids"], encoded["offset_mapping"]))


@pytest.mark.parametrize(("reader", "text", "wanted"), SHOWN)
def test_each_token_of_a_prompt_is_what_it_holds(reader: str, text: str, wanted: list[str]) -> None:
    assert pieces_of(reader, text) == wanted


@pytest.mark.parametrize("text", [*PLAIN, *WILD])
@pytest.mark.parametrize("reader", READERS)
def test_a_prompt_is_shown_whole_and_in_no_tokenizers_letters(reader: str, text: str) -> None:
    """Bytes put together again are the prompt, unless the tokenizer reads other letters than the user wrote."""
    pieces = pieces_of(reader, text)
    assert not any(c in piece for piece in pieces for c in "ĠĊÃ▁")
    assert "##" not in "".join(pieces)
    if reader in ("NFKC", "NFD") and unicodedata.normalize(reader, text) != text:
        return
    read = b"".join(bytes.fromhex(part[1:-1]) if part[0] == "⟨" else part.encode() for part in split(pieces))
    text = "<|endoftext|>" + text if reader == "beginning of text" else text
    assert read.decode() in (text, " " + text)


def split(pieces: list[str]) -> list[str]:
    return [part for piece in pieces for part in re.split("(⟨[0-9A-F ]+⟩)", piece) if part]


# Characters that are not complete ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", WILD)
@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_a_character_is_found_in_what_follows(kind: str, text: str) -> None:
    tok = KINDS[kind]()
    ids = tok(text, add_special_tokens=False)["input_ids"]
    for cut in range(1, len(ids) + 1):
        tail = missing_tail(tok, ids[:cut])
        whole, _, shown = text_of(tok, ids[:cut]).partition("⟨")
        if not tail:
            assert not shown
            continue
        assert shown == tail.hex(" ").upper() + "⟩"
        with_rest = with_character(tok, ids[:cut], ids[cut:])
        assert with_rest is not None
        assert len(with_rest) == len(whole) + 1
        assert text.startswith(with_rest)
        assert with_character(tok, ids[:cut], []) is None


def test_a_character_that_is_not_completed_stays_bytes() -> None:
    tok = tokenizer()
    first, *rest = tok("🗼", add_special_tokens=False)["input_ids"]
    (letter,) = tok("a", add_special_tokens=False)["input_ids"]
    assert with_character(tok, [first], rest) == "🗼"
    assert with_character(tok, [letter, first], [*rest, letter]) == "a🗼"
    assert with_character(tok, [first], [letter, *rest]) is None
    assert with_character(tok, [first], [tok.eos_token_id]) is None
    assert missing_tail(tok, rest) == b"", "bytes that end a character begin none"
    assert missing_tail(tok, [letter, tok.eos_token_id]) == b""
