"""One small tokenizer of every kind, made on the spot: what is true of texts is true of all of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.support import TEXT, tokenizer

#: Turns between marks, in the manner of many chat models.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] | trim }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@cache
def byte_level(bos: bool = False) -> PreTrainedTokenizerFast:
    return tokenizer(bos)


@cache
def sentencepiece_like(bos: bool = False, fallback: bool = True) -> PreTrainedTokenizerFast:
    """With spaces as part of words and one put in front; bytes for what it has no piece for, or an unknown token."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback, fuse_unk=True))
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Pieces do not go on into the next word.
    raw.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256) if fallback)]
    plain = [text.encode("ascii", "ignore").decode() for text in TEXT]
    raw.train_from_iterator(plain, trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False))
    # The bytes are no special tokens; only the trainer wants to have them first.
    trained = Tokenizer.from_str(raw.to_str())
    if bos:
        trained.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=trained, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


@cache
def wordpiece(closed: bool = False) -> PreTrainedTokenizerFast:
    """Without white space in its tokens; where `closed`, with a token in front of each text and one behind it."""
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    raw.train_from_iterator(TEXT, trainer)
    if closed:
        raw.post_processor = closing_processor()
    return PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def closing_processor() -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])


#: Those that leave the end of a text open, so that something can follow.
OPEN: dict[str, Any] = {
    "byte-level": byte_level,
    "byte-level, bos": lambda: byte_level(bos=True),
    "sentencepiece": lambda: sentencepiece_like(fallback=False),
    "sentencepiece, bos": lambda: sentencepiece_like(bos=True, fallback=False),
    "byte fallback": sentencepiece_like,
    "byte fallback, bos": lambda: sentencepiece_like(bos=True),
    "wordpiece": wordpiece,
}
ALL: dict[str, Any] = {**OPEN, "wordpiece, closed": lambda: wordpiece(closed=True)}


def talking(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of a kind with a chat template; one of its own, which no other test shares."""
    from copy import deepcopy

    found: PreTrainedTokenizerFast = deepcopy(ALL[kind]())
    found.chat_template = TEMPLATE if found.bos_token else TEMPLATE.removeprefix("{{ bos_token }}")
    return found
