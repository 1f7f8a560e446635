"""Text comes from files, folders, datasets and strings, under a name that changes with it; bad input is explained."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from factlens.errors import FactlensError
from factlens.moments import Corpus, open_corpus
from factlens.moments import textfiles as textfiles_module

PLAIN = "First line\nof a paragraph.\n\n \nThe second: Zürich 東京 🗼.\r\n\r\nThird"
PARAGRAPHS = ["First line\nof a paragraph.", "The second: Zürich 東京 🗼.", "Third"]
RECORDS = [{"text": "one", "body": "eins"}, {"text": "two\n\nlines", "body": "zwei"}]
LINES = "\n".join(json.dumps(record) for record in RECORDS) + "\n\n" + json.dumps("three") + "\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_are_read_text_by_text(tmp_path: Path, ending: str) -> None:
    plain = open_corpus(write(tmp_path / f"a.txt{ending}", PLAIN))
    assert list(plain) == list(plain) == PARAGRAPHS
    assert list(plain.read(2)) == ["Third"]
    lines = open_corpus(str(write(tmp_path / f"b.jsonl{ending}", LINES)))
    assert list(lines) == ["one", "two\n\nlines", "three"]
    assert list(open_corpus(write(tmp_path / "c.txt.jsonl", LINES))) == list(lines), "the last ending counts"


def test_another_column(tmp_path: Path) -> None:
    path = write(tmp_path / "b.jsonl", "\n".join(map(json.dumps, RECORDS)))
    assert list(open_corpus(path, column="body")) == ["eins", "zwei"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert list(open_corpus(write(tmp_path / "a.txt", b"\xef\xbb\xbfHello"))) == ["Hello"]


def test_a_folder_is_all_its_files_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b" / "2.txt", "two")
    write(tmp_path / "a.jsonl", '{"text": "one"}')
    write(tmp_path / "b" / "3.txt.gz", "three")
    write(tmp_path / "notes.md", "not this")
    corpus = open_corpus(tmp_path)
    assert list(corpus) == ["one", "two", "three"]
    assert "3 files" in corpus.identity


def test_a_file_of_one_line_is_read_in_pieces(tmp_path: Path) -> None:
    texts = list(open_corpus(write(tmp_path / "a.txt", "word " * 100_000)))
    assert len(texts) > 4
    assert max(map(len, texts)) <= 1 << 16
    assert sum(text.count("word") for text in texts) >= 100_000 - len(texts)


def test_the_name_changes_with_the_text_and_only_with_it(tmp_path: Path) -> None:
    same = {open_corpus(write(tmp_path / folder / "a.txt", PLAIN)).identity for folder in ("x", "y")}
    assert len(same) == 1, "where the file lies does not matter"
    assert str(tmp_path) not in same.pop()
    names = [
        open_corpus(write(tmp_path / "1" / "a.txt", PLAIN)).identity,
        open_corpus(write(tmp_path / "2" / "a.txt", PLAIN.replace("Third", "Thirt"))).identity,
        open_corpus(write(tmp_path / "3" / "b.txt", PLAIN)).identity,
        open_corpus(["one", "two"]).identity,
        open_corpus(["onet", "wo"]).identity,
        open_corpus(["two", "one"]).identity,
    ]
    assert len(set(names)) == len(names)
    assert open_corpus(("one", "two")).identity == open_corpus(["one", "two"]).identity
    assert open_corpus(["one"], name="mine").identity == "mine"
    assert open_corpus(write(tmp_path / "a.txt", PLAIN), name="mine").identity == "mine"


def test_a_folders_name_changes_with_any_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "a"), write(tmp_path / "b.txt", "b")
    names = [open_corpus(tmp_path).identity]
    for change in (lambda: write(tmp_path / "b.txt", "c"), lambda: (tmp_path / "b.txt").rename(tmp_path / "c.txt")):
        change()
        names.append(open_corpus(tmp_path).identity)
    assert len(set(names)) == 3


def test_large_files_are_named_by_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfiles_module, "_WHOLE", 10)
    monkeypatch.setattr(textfiles_module, "_ENDS", 4)
    contents = ("aaaa" + "x" * 20 + "bbbb", "aaaa" + "x" * 20 + "bbbc", "caaa" + "x" * 20 + "bbbb", "a" * 29)
    assert len({open_corpus(write(tmp_path / "a.txt", text)).identity for text in contents}) == 4


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for text in (PLAIN, PLAIN, "else"):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        corpus = open_corpus("-")
        assert list(corpus) == list(corpus) == (PARAGRAPHS if text == PLAIN else ["else"])
        names.append(corpus.identity)
    assert names[0] == names[1] != names[2]
    assert "standard input" in names[0]


def test_a_generator_needs_a_name() -> None:
    with pytest.raises(FactlensError, match="need a name"):
        open_corpus(text for text in PARAGRAPHS)
    assert list(open_corpus((text for text in PARAGRAPHS), name="x")) == PARAGRAPHS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "There is no text in a.txt"),
        ("a.txt", " \n\n \n", "There is no text in a.txt"),
        ("a.txt", "Zürich".encode("latin1"), r"a\.txt is no text in UTF-8.*0xfc.* Pass encoding='cp1252'"),
        ("a.txt.gz", "Zürich".encode("latin1"), "is no text in UTF-8"),
        ("a.pdf", "x", r"ends in none of \.txt"),
        ("a.jsonl", '{"text": "a"', r"a\.jsonl, line 1, is not JSON"),
        ("a.jsonl", '{"body": "a", "id": 3}', "line 1, has no text in a column 'text': it has body, id"),
        ("a.jsonl", '{"text": null}', "no text in a column 'text'"),
        ("a.jsonl", "[1, 2]", r"no text in a column 'text': it is '\[1, 2\]'"),
        ("a.jsonl", "", "There is no text"),
    ],
)
def test_bad_files_are_explained(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(FactlensError, match=message):
        open_corpus(write(tmp_path / name, content))


def test_missing_and_damaged_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(FactlensError, match=r"There is no file or folder .*nowhere\.txt"):
        open_corpus(tmp_path / "nowhere.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FactlensError, match="has no file that ends in"):
        open_corpus(tmp_path / "empty")
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"not compressed at all")
    with pytest.raises(FactlensError, match="cannot be decompressed"):
        open_corpus(path)
    path.write_bytes(gzip.compress(b"word " * 1000)[:-20])
    with pytest.raises(FactlensError, match="cannot be decompressed"):
        list(open_corpus(path))
    for empty in ([], [""], ["", " "]):
        with pytest.raises(FactlensError, match="There is no text"):
            open_corpus(empty)


# Datasets of the Hub ------------------------------------------------------------------------------------------------


class Rows(list):
    """What `datasets` gives when it streams."""

    skipped = 0

    def skip(self, n: int) -> Rows:
        Rows.skipped = n
        return Rows(self[n:])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A stand-in for the Hub and the library; gives the calls that it gets."""
    import huggingface_hub

    calls: list[tuple] = []

    def load_dataset(name: str, config: str | None, **settings: object) -> Rows:
        calls.append((name, config, settings))
        if name == "gone":
            raise ConnectionError("offline")
        return Rows([{"text": "one", "n": 1}, {"text": None, "n": 2}, {"text": "three", "n": 3}])

    def dataset_info(_self, name: str, revision: str | None) -> SimpleNamespace:
        return SimpleNamespace(sha={None: "c0ffee", "v2": "decade"}[revision] + "0" * 34)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    return calls


def test_a_dataset_is_streamed_and_named_by_its_commit(hub: list[tuple]) -> None:
    corpus = open_corpus("hf:some/text")
    assert corpus.identity == "hf:some/text@c0ffee000000::train:text"
    assert list(corpus) == ["one", "", "three"]
    assert hub[-1] == ("some/text", None, {"split": "train", "revision": "c0ffee" + "0" * 34, "streaming": True})
    assert list(corpus.read(2)) == ["three"]
    assert Rows.skipped == 2
    other = open_corpus("hf:some/text@v2:en:test:text")
    assert other.identity == "hf:some/text@decade000000:en:test:text"
    assert hub[-1][:2] == ("some/text", "en")
    assert hub[-1][2]["split"] == "test"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hf:some/text:::body", "no column 'body', but text, n"),
        ("hf:some/text:::n", "column 'n' of some/text holds int, not text"),
        ("hf:gone", "'gone' cannot be read .ConnectionError: offline.*local file"),
        ("hf:", "names no data set"),
        ("hf:a:b:c:d:e", "names no data set"),
    ],
)
def test_bad_datasets_are_explained(hub: list[tuple], spec: str, message: str) -> None:
    with pytest.raises(FactlensError, match=message):
        open_corpus(spec)


def test_no_library_and_no_network_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(FactlensError, match=r"pip install 'factlens\[text\]'"):
        open_corpus("hf:some/text")
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace())
    # The tests run with HF_HUB_OFFLINE=1, so the Hub refuses by itself.
    with pytest.raises(FactlensError, match=r"cannot be read.*network"):
        open_corpus("hf:some/text")


def test_a_corpus_stays_what_it_is() -> None:
    corpus = Corpus("mine", lambda skip: iter(PARAGRAPHS[skip:]))
    assert open_corpus(corpus) is corpus
    assert open_corpus(corpus, name="yours").identity == "yours"
