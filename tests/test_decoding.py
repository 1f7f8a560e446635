"""A user's text in any encoding: read right, in pieces and whole, or refused with the argument that reads it."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import factlens as fl
from factlens import decoding
from factlens.decoding import an_encoding, decode, pieces
from factlens.errors import ArgumentError, FileFormatError
from factlens.evaluation.datasets import counterfact, known_facts, load_facts, load_records, own_records, zsre
from factlens.moments import Corpus, open_corpus
from factlens.moments import textfiles as textfiles_module
from tests.argument_calls import COUNTERFACT, KNOWN, OWN_RECORD, SNIPPETS, ZSRE

#: What people write in each of them; the first line end is of Windows, the second of an old Mac, the third of Unix.
WORDS = {
    "cp1252": "Zürich, “naïve” – 5 €",
    "cp1250": "Plzeň, příliš žluťoučký kůň",
    "cp1251": "Эйфелева башня в Париже",
    "koi8_r": "Эйфелева башня в Париже",
    "cp1253": "Η Αθήνα είναι πρωτεύουσα",
    "mac_roman": "São Paulo et François",
    "cp850": "Zürich und München",
    "cp932": "エッフェル塔は東京にある。",
    "euc_jp": "東京タワーは東京にある",
    "gb18030": "埃菲尔铁塔位于巴黎",
    "big5": "台北是台灣的首都",
    "cp949": "에펠탑은 파리에 있다",
}
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
EVERYTHING = "a 東京 🗼 Zürich\u2028one\x85line\r\nthen\ranother\n\n\r\r\nlast 🗼"


def encoded(text: str, encoding: str) -> bytes:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    marks |= {"utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE}
    return marks.get(encoding, b"") + text.encode(encoding)


# What is read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", *WIDE])
def test_a_byte_order_mark_says_what_it_is_and_is_no_text(encoding: str) -> None:
    data = encoded(EVERYTHING, encoding)
    assert decode(data, "a.txt") == EVERYTHING
    assert decode(data, "a.txt", encoding) == EVERYTHING


@pytest.mark.parametrize("encoding", [name for name in WIDE if name.count("-") == 2])
def test_utf16_without_a_mark_must_be_said(encoding: str) -> None:
    assert decode(EVERYTHING.encode(encoding), "a.txt", encoding) == EVERYTHING
    with pytest.raises(FileFormatError, match=r"a\.txt does not begin with a byte order mark.*Pass encoding='utf-"):
        decode(EVERYTHING.encode(encoding), "a.txt", encoding[:6])


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        (b"", "utf-8", ""),
        (b"", "utf-16", ""),
        (codecs.BOM_UTF8, "utf-8", ""),
        (codecs.BOM_UTF16_LE, "utf-8", ""),
        (codecs.BOM_UTF8 * 2, "utf-8", "\ufeff"),
        ("\ufeffa".encode("gb18030"), "gb18030", "a"),
        ("\ufeff\ufeffa".encode("gb18030"), "gb18030", "\ufeffa"),
        (b"a\0b", "utf-8", "a\0b"),
        ("联通".encode("gb18030"), "gb18030", "联通"),  # valid UTF-8 by accident
    ],
)
def test_rare_files(data: bytes, encoding: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode(data, "a.txt", encoding) == text
    monkeypatch.setattr(decoding, "_PIECE", 4)
    assert decode(data, "a.txt", encoding) == text


@pytest.mark.parametrize("size", [4, 5, 7, 8, 13, 64])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", *WIDE, *WORDS, "iso2022_jp"])
def test_pieces_give_the_whole(encoding: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a character, a pair of line ends or a shift is cut."""
    words = EVERYTHING if encoding.startswith("utf") else WORDS.get(encoding, WORDS["cp932"])
    text = f"{words}\r\n{words}\r{words}\n" * 3
    data = encoded(text, encoding)
    whole = decode(data, "a.txt", encoding)
    assert whole == text
    monkeypatch.setattr(decoding, "_PIECE", size)
    found = list(pieces(io.BytesIO(data), "a.txt", encoding))
    assert "".join(found) == whole
    assert len(found) > 2


CELL = 'one\r\ntwo\u2028"three"\rfour\n\x85five'
NAMES = {
    "utf-8": "name 東京 🗼",
    "utf-8-sig": "name 東京 🗼",
    "utf-16": "name 東京 🗼",
    "utf-16-be": "name 東京 🗼",
    **WORDS,
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv", ".csv.gz", ".jsonl.gz"])
@pytest.mark.parametrize("encoding", NAMES)
def test_a_data_set_in_any_encoding(encoding: str, suffix: str, end: str, tmp_path: Path) -> None:
    """A quoted line break, and what ends a line elsewhere, stay as they are inside a value."""
    told = CELL if encoding.startswith("utf") else CELL.replace("\u2028", "").replace("\x85", "")
    rows = [{**OWN_RECORD, "name": NAMES[encoding], "references": told}, {**OWN_RECORD, "prompt": "{} stands in"}]
    if ".json" in suffix:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = f"[{end}{f',{end}'.join(lines)}{end}]" if suffix == ".json" else end.join(lines) + end
    else:
        between = "\t" if ".tsv" in suffix else ","
        cells = [['"{}"'.format(row.get(name, "").replace('"', '""')) for name in rows[0]] for row in rows]
        text = end.join(between.join(row) for row in [list(rows[0]), *cells]) + end
    data = encoded(text, encoding)
    path = tmp_path / f"own{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    first, second = load_records(path, encoding=encoding)
    assert first.name == NAMES[encoding]
    assert first.checks.references == (told,)
    assert second.fact.template == "{} stands in"
    if encoding.startswith("utf"):
        assert load_records(path) == [first, second]


def test_what_a_spreadsheet_calls_unicode_text(tmp_path: Path) -> None:
    head, row = "\t".join(OWN_RECORD), "\t".join({**OWN_RECORD, "object": "東京"}.values())
    path = tmp_path / "own.txt"
    path.write_bytes(f"{head}\r\n{row}\r\n".encode("utf-16"))
    with pytest.raises(FileFormatError, match=r"own\.txt is none of .json, .jsonl, .csv and .tsv.*call it \.tsv"):
        load_records(path)
    assert load_records(path.rename(tmp_path / "own.tsv"))[0].fact.object == "東京"


READERS: dict[str, tuple[Any, Any]] = {
    "counterfact": (counterfact, COUNTERFACT),
    "known_facts": (known_facts, KNOWN),
    "own_records": (own_records, OWN_RECORD),
    "zsre": (zsre, ZSRE),
    "load_records": (load_records, COUNTERFACT),
    "load_facts": (load_facts, KNOWN),
    "load_facts of records": (load_facts, ZSRE),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_a_data_set_takes_an_encoding(reader: str, tmp_path: Path) -> None:
    read, record = READERS[reader]
    text = json.dumps([record], ensure_ascii=False).replace("Paris", "Zürich")
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("cp1252"))
    assert read(path, encoding="cp1252") == read(json.loads(text))
    with pytest.raises(FileFormatError, match="Pass encoding='cp1252'"):
        read(path)


def test_the_texts_beside_counterfact_are_in_its_encoding(tmp_path: Path) -> None:
    for name, content in (("a.json", COUNTERFACT), ("attribute_snippets.json", SNIPPETS)):
        text = json.dumps([content], ensure_ascii=False).replace("Rome", "Köln")
        (tmp_path / name).write_bytes(text.encode("cp1252"))
    (record,) = load_records(tmp_path / "a.json", encoding="cp1252")
    assert (record.fact.target, record.checks.references) == ("Köln", ("Köln is old.",))


# Corpora -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 64, 1 << 16])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("encoding", NAMES)
def test_a_corpus_in_any_encoding_is_the_same_corpus(
    encoding: str, ending: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_PIECE", size)
    texts = [f"{NAMES[encoding]} a", f"b\nc {NAMES[encoding]}", "d"]
    if encoding.startswith("utf"):
        texts.append("e\u2028f\x85g")
    for name, text in (
        ("a.txt", "\r\n\r\n".join(texts).replace("b\n", "b\r")),
        ("b.jsonl", "\r".join(json.dumps(one, ensure_ascii=False) for one in texts)),
    ):
        corpora = []
        for folder, codec in (("ours", encoding), ("plain", "utf-8")):
            path = tmp_path / folder / f"{name}{ending}"
            path.parent.mkdir(exist_ok=True)
            data = encoded(text, codec)
            path.write_bytes(gzip.compress(data) if ending else data)
            corpora.append(open_corpus(path, encoding=codec))
        assert [list(corpus) for corpus in corpora] == [texts, texts]
        assert corpora[0].identity == corpora[1].identity


def test_plain_files_keep_the_names_that_they_had(tmp_path: Path) -> None:
    """Statistics that were collected before are found again."""
    path = tmp_path / "a.txt"
    path.write_bytes("Zürich".encode())
    digest = hashlib.sha256(json.dumps(["a.txt", 7]).encode() + path.read_bytes()).hexdigest()
    assert open_corpus(path).identity == f"a.txt (7 bytes, sha256 {digest[:16]})"


def test_large_files_are_named_by_their_ends_and_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfiles_module, "_WHOLE", 10)
    monkeypatch.setattr(textfiles_module, "_ENDS", 4)
    names = []
    for name in ("a.txt", "a.txt.gz"):
        path = tmp_path / name
        data = b"four" + "Zürich".encode("cp1252") * 9
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        names += [open_corpus(path, encoding=encoding).identity for encoding in ("cp1252", "cp1250")]
    assert len(set(names)) == 4


def test_a_folder_with_a_file_in_utf16(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Zürich".encode())
    (tmp_path / "b.txt").write_bytes("東京".encode("utf-16"))
    assert list(open_corpus(tmp_path)) == ["Zürich", "東京"]


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    corpora = []
    for encoding in ("cp1252", "utf-8", "utf-16"):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Zürich\n\nb".encode(encoding))))
        corpora.append(open_corpus("-", encoding=encoding))
    assert [list(corpus) for corpus in corpora] == [["Zürich", "b"]] * 3
    assert len({corpus.identity for corpus in corpora}) == 1
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("Zürich".encode("cp1252"))))
    with pytest.raises(FileFormatError, match=r"the standard input is no text in UTF-8.*--encoding cp1252"):
        open_corpus("-")


def test_what_is_no_file_needs_none() -> None:
    corpus = Corpus("mine", lambda skip: iter(["Zürich"][skip:]))
    assert list(open_corpus(corpus, encoding="cp1252")) == list(open_corpus(["Zürich"], encoding="cp1252"))
    assert load_records([OWN_RECORD], encoding="cp1252") == load_records([OWN_RECORD])


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", WORDS)
def test_the_error_shows_the_line_in_its_own_encoding_first(encoding: str) -> None:
    data = f"prompt,subject\r\n{WORDS[encoding]}\r\nmore\r\n".encode(encoding)
    with pytest.raises(FileFormatError) as caught:
        decode(data, "own.csv")
    said = str(caught.value)
    assert said.startswith("own.csv is no text in UTF-8: in line 2, column ")
    assert f"There it reads {WORDS[encoding]!r} in {encoding}" in said
    assert f"Pass encoding='{encoding}'" in said
    assert f"--encoding {encoding};" in said
    # What the message says helps.
    assert WORDS[encoding] in decode(data, "own.csv", encoding)


@pytest.mark.parametrize("size", [4, 9, 64, 1 << 16])
@pytest.mark.parametrize(
    ("before", "line", "column"),
    [
        (b"", 1, 1),
        (b"abc", 1, 4),
        (b"a\nbc\n", 3, 1),
        (b"a\r\nbc\r\ndef", 3, 4),
        (b"a\rbc\r\rdefg", 4, 5),
        (b"abc\r\n" * 50 + b"a", 51, 2),
        (codecs.BOM_UTF8 + b"ab", 1, 3),
    ],
)
def test_the_error_says_where(
    before: bytes, line: int, column: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_PIECE", size)
    with pytest.raises(FileFormatError, match=rf"in line {line}, column {column} is the byte 0xfc") as caught:
        decode(before + b"\xfcber, no\n", "a.txt")
    assert "über, no' in cp1252" in str(caught.value)


def test_a_long_line_is_shown_in_part() -> None:
    with pytest.raises(FileFormatError) as caught:
        decode(b"word " * 10_000 + b"Z\xfcrich " + b"word " * 10_000, "a.txt")
    assert "column 50,002" not in str(caught.value)
    assert "column 50002" in str(caught.value)
    assert "Zürich" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("data", "encoding", "words"),
    [
        ("Zürich 東京".encode() + b" Z\xfcrich", "utf-8", "What stands before it is in UTF-8: correct this place"),
        (b"Z\x81rich", "cp1252", r"no text in cp1252: in line 1, column 2 is the byte 0x81"),
        ("Zürich".encode("cp1252"), "ascii", "no text in ascii.*Pass encoding='cp1252'"),
        (WORDS["cp932"].encode("cp932"), "cp1252", "Pass encoding='cp932'"),
        ("Zürich".encode(), "cp1252", "begins with text in UTF-8, not in cp1252. Leave the encoding out"),
        ("東京タワー".encode(), "gb18030", "begins with text in UTF-8, not in gb18030. Leave the encoding out"),
        (codecs.BOM_UTF8 + b"a", "cp1252", "mark of UTF-8, not in cp1252. Leave the encoding out"),
        ("a".encode("utf-16"), "cp1252", "mark of UTF-16, not in cp1252"),
        (codecs.BOM_UTF16_BE + b"\0a", "utf-16-le", "mark of UTF-16, not in UTF-16-LE"),
        ("a".encode("utf-32"), "utf-16", "mark of UTF-32, not in UTF-16"),
        (b"plain text", "utf-16-le", "plain ASCII, not in UTF-16-LE"),
        ("Rome is".encode("utf-16-le"), "utf-8", "seems to be in UTF-16-LE. Pass encoding='utf-16-le'"),
        ("Rome is".encode("utf-16-be"), "cp1252", "seems to be in UTF-16-BE. Pass encoding='utf-16-be'"),
        ("Rome".encode("utf-16")[:-1], "utf-8", "no text in UTF-16-LE: in line 1, column 4"),
        ("東".encode()[:2], "utf-8", "in line 1, column 1 is the byte 0xe6"),
    ],
)
def test_a_file_that_is_not_in_the_encoding(data: bytes, encoding: str, words: str) -> None:
    with pytest.raises(FileFormatError, match=words) as caught:
        decode(data, "own.csv", encoding)
    assert str(caught.value).startswith("own.csv ")


NO_ENCODINGS = ["hex", "zip", "bz2", "base64", "uu", "quopri", "rot13", "nonsense", "a\0b", "ü", "", " ", "undefined"]
NO_ENCODINGS += ["idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "x" * 10_000]


@pytest.mark.parametrize("name", NO_ENCODINGS)
def test_a_name_that_is_no_encoding_of_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    for attempt in (lambda: open_corpus(path, encoding=name), lambda: load_records("atlas-facts", encoding=name)):
        with pytest.raises(ArgumentError, match=r"^encoding must be ") as caught:
            attempt()
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("asked", "known"), [("UTF8", "utf-8"), ("utf-8-sig", "utf-8"), ("Windows-1252", "cp1252"), ("latin1", "iso8859-1")]
)
def test_the_names_that_python_knows(asked: str, known: str) -> None:
    assert an_encoding("encoding", asked) == known


def test_a_codec_of_somebody_elses_that_decodes_no_pieces() -> None:
    def whole_only(name: str) -> codecs.CodecInfo | None:
        utf8 = codecs.lookup("utf-8")
        return codecs.CodecInfo(utf8.encode, utf8.decode, name=name) if name == "wholeonly" else None

    codecs.register(whole_only)
    try:
        with pytest.raises(ArgumentError, match="encoding of text that Python knows"):
            an_encoding("encoding", "wholeonly")
    finally:
        codecs.unregister(whole_only)


def test_what_factlens_writes_is_read_in_utf8_only(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(json.dumps({"a": "b"}).encode("utf-16"))
    with pytest.raises(FileFormatError, match=r"report\.json is no text in UTF-8.*Take another copy"):
        fl.Report.load(path)
