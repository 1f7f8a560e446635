"""Files come back bit for bit, are replaced whole or not at all, and say what is wrong with them."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

import factlens as fl
from factlens.errors import FileFormatError
from factlens.files import read_record, write_record
from factlens.models import LowRank
from factlens.moments import SecondMoment
from factlens.tracing import Trace

KIND = "factlens.thing"
RECORD = {"words": ["é", "\x00", "🗼"], "number": 0.1 + 0.2, "nothing": None}
# Every number that a careless conversion would lose.
ODD = np.array([0.0, -0.0, 1e-45, np.inf, -np.inf, np.nan, np.nextafter(np.float32(1), np.float32(2))], np.float32)
ARRAYS = {
    "odd": ODD,
    "wide": np.random.RandomState(0).randn(3, 4),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
}


def write(path: Path, schema: int = 3) -> Path:
    return write_record(path, KIND, schema, RECORD, ARRAYS)


def with_header(path: Path, header: str | None) -> Path:
    save_file(ARRAYS | {"turned": np.zeros(1)}, path, None if header is None else {"factlens": header})
    return path


def test_record_and_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    record, arrays = read_record(path, KIND, 3)
    assert record == {"format": KIND, "schema": 3, **RECORD}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"], "nothing else is left in the folder"


def test_the_other_byte_order_is_turned(tmp_path: Path) -> None:
    path = write_record(tmp_path / "a.safetensors", KIND, 3, {}, {"a": np.array([1.5, 2], ">f4")})
    np.testing.assert_array_equal(read_record(path, KIND, 3)[1]["a"], np.array([1.5, 2], "<f4"))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileFormatError, match="not a file that factlens wrote"):
        read_record(path, KIND, 3)


@pytest.mark.parametrize("place", [0, 7, 8, 20], ids=["length", "length's end", "header", "inside the header"])
def test_a_damaged_header_is_refused(tmp_path: Path, place: int) -> None:
    path = write(tmp_path / "a.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(FileFormatError, match="not a file that factlens wrote"):
        read_record(path, KIND, 3)


@pytest.mark.parametrize("place", [-1, -40, "number", "words"])
def test_a_changed_byte_is_noticed(tmp_path: Path, place: int | str) -> None:
    path = write(tmp_path / "a.safetensors")
    damaged = bytearray(path.read_bytes())
    at = place if isinstance(place, int) else damaged.index(place.encode())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(FileFormatError, match=r"a\.safetensors is damaged"):
        read_record(path, KIND, 3)


def test_a_missing_or_renamed_array_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    with safe_open(str(path), framework="numpy") as file:
        metadata = file.metadata()
    read_record(resaved(path, ARRAYS, metadata), KIND, 3)
    less = {name: array for name, array in ARRAYS.items() if name != "none"}
    for changed in (less, less | {"nought": ARRAYS["none"]}, less | {"none": np.zeros((0, 2), np.float32)}):
        with pytest.raises(FileFormatError, match="is damaged"):
            read_record(resaved(path, changed, metadata), KIND, 3)
    with pytest.raises(FileFormatError, match="is damaged"):
        read_record(resaved(path, ARRAYS, {"factlens": metadata["factlens"]}), KIND, 3)


def resaved(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> Path:
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path, metadata)
    return path


@pytest.mark.parametrize("content", [b"", b"\x80\x04 a pickle", b"{}", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="not a file that factlens wrote"):
        read_record(path, KIND, 3)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is a folder, not a file"):
        read_record(tmp_path, KIND, 3)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "holds no thing"),
        ("{}", "holds no thing"),
        ('{"format": "factlens.other", "schema": 3}', "holds no thing"),
        ('{"format": "factlens.thing"}', "schema None; this version of factlens reads 3"),
        ('{"format": "factlens.thing", "schema": 4}', "schema 4; this version of factlens reads 3"),
        ('{"format": "factlens.thing", "schema": 2}', "schema 2; this version of factlens reads 3"),
        ('{"format": "factlens.thing", ', "not a file that factlens wrote"),
        ("", "not a file that factlens wrote"),
        ('["factlens.thing", 3]', "holds no thing"),
        ('"factlens.thing"', "holds no thing"),
        ("null", "holds no thing"),
    ],
)
def test_what_a_header_may_be(tmp_path: Path, header: str | None, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as error:
        read_record(with_header(tmp_path / "a.safetensors", header), KIND, 3)
    assert "a.safetensors" in str(error.value)


def test_a_number_format_that_numpy_lacks_is_refused(tmp_path: Path) -> None:
    path, header = tmp_path / "a.safetensors", json.dumps({"format": KIND, "schema": 3})
    for dtype in (torch.bfloat16, torch.float8_e4m3fn):
        save_torch_file({"a": torch.zeros(2).to(dtype)}, path, {"factlens": header})
        with pytest.raises(FileFormatError, match="not a file that factlens wrote"):
            read_record(path, KIND, 3)


def test_another_file_is_refused_before_its_arrays_are_read(tmp_path: Path) -> None:
    # Were they read, the number format would be what is complained about.
    save_torch_file({"a": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    with pytest.raises(FileFormatError, match="holds no thing"):
        read_record(tmp_path / "model.safetensors", KIND, 3)


def test_a_missing_file_is_missing_and_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "nowhere.safetensors", KIND, 3)
    with pytest.raises(OSError, match=r"nowhere.*could not be written"):
        write(tmp_path / "nowhere" / "a.safetensors")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", schema=2)
    before = path.stat()
    with path.open("rb") as reader:
        old = reader.read(10)
        write(path, schema=3)
        # Who had it open still reads the old one: it was never written over.
        assert reader.seek(0) == 0
        assert reader.read(10) == old
        assert b'schema\\": 2' in reader.read()
    assert read_record(path, KIND, 3)[0]["schema"] == 3
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(before.st_mode)


def test_files_need_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors")
    code = (
        "import sys\nfrom factlens.files import read_record, write_record\n"
        f"record, arrays = read_record({str(path)!r}, {KIND!r}, 3)\n"
        f"write_record({str(path)!r}, {KIND!r}, 3, record, arrays)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


# The three records that are kept in such files --------------------------------------------------------------------


def some_edit() -> fl.Edit:
    random = torch.Generator().manual_seed(0)
    factors = torch.randn(4, 1, generator=random), torch.randn(1, 6, generator=random)
    updates = (
        LowRank("a.weight", factors[0] * 1e-42, factors[1] * 1e38),  # subnormal and huge
        LowRank("b.weight", factors[0].T.contiguous().T, factors[1].double()),
        LowRank("c.weight", factors[0].bfloat16(), factors[1].half()),
    )
    return fl.Edit(
        method="rome",
        facts=(fl.Fact("{} is in", "Zürich", target="日本", object="Seattle"), fl.Fact("About {}", "x")),
        layers=(1, 2),
        updates=updates,
        hparams={"clamp": 4.0, "contexts": [[5, 2]]},
        moment="layer 1, 10 tokens of text",
        model="some model",
        fingerprint="0123456789abcdef",
        report={"losses": [0.1, 0.2], "norm": 1e-300},
    )


def some_moment(dtype: torch.dtype = torch.float64) -> SecondMoment:
    keys = torch.randn(10, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return SecondMoment(keys.T @ keys, 10, 3, "0123456789abcdef", "the corpus “é”")


def test_an_edit_comes_back_bit_for_bit(tmp_path: Path) -> None:
    edit = some_edit()
    loaded = fl.Edit.load(edit.save(tmp_path / "edit.safetensors"))
    for name in ("method", "facts", "layers", "hparams", "moment", "model", "fingerprint", "report"):
        assert getattr(loaded, name) == getattr(edit, name), name
    for found, kept in zip(loaded.updates, edit.updates, strict=True):
        assert found.parameter == kept.parameter
        for side in ("left", "right"):
            a, b = getattr(found, side), getattr(kept, side)
            assert a.dtype == (torch.float32 if b.dtype == torch.bfloat16 else b.dtype)
            assert torch.equal(a, b.to(a.dtype))


def test_a_loaded_edit_can_be_written_to(tmp_path: Path) -> None:
    update = fl.Edit.load(some_edit().save(tmp_path / "edit.safetensors")).updates[0]
    update.left.mul_(2)
    assert torch.equal(update.left, some_edit().updates[0].left * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_second_moment_comes_back_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    moment = some_moment(dtype)
    loaded = SecondMoment.load(moment.save(tmp_path / "new" / "folder" / "moment.safetensors"))
    assert loaded.identity == moment.identity
    assert loaded.total.dtype == dtype
    assert torch.equal(loaded.total, moment.total)


KINDS = {
    "trace": (Trace.load, "factlens.trace", 6),
    "edit": (fl.Edit.load, "factlens.edit", 4),
    "moment": (SecondMoment.load, "factlens.moment", 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_reads_its_own_files_only(tmp_path: Path, kind: str) -> None:
    load, name, schema = KINDS[kind]
    for other in KINDS:
        path = some_moment().save(tmp_path / "a.safetensors")
        if other == "edit":
            some_edit().save(path)
        if other != kind and other != "trace":
            with pytest.raises(FileFormatError, match=f"holds no {kind}"):
                load(path)
    write_record(path, name, schema + 1, {}, {})
    with pytest.raises(FileFormatError, match=rf"schema {schema + 1}; this version of factlens reads {schema}"):
        load(path)
    write_record(path, name, schema, {}, {})
    with pytest.raises(FileFormatError, match="not a complete factlens"):
        load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.safetensors")


def test_an_edit_without_one_of_its_factors(tmp_path: Path) -> None:
    path = some_edit().save(tmp_path / "edit.safetensors")
    record, arrays = read_record(path, "factlens.edit", 4)
    for changed in (
        {name: array for name, array in arrays.items() if name != "1.right"},
        arrays | {"1.right": arrays["1.right"][0]},
        arrays | {"1.right": np.zeros((2, 6), np.float32)},
    ):
        write_record(path, "factlens.edit", 4, record, changed)
        with pytest.raises(FileFormatError, match="not a complete factlens edit"):
            fl.Edit.load(path)


@pytest.mark.parametrize(
    "change",
    [{"facts": 3}, {"facts": [{"template": "{}", "subject": ""}]}, {"layers": None}, {"parameters": None}],
    ids=str,
)
def test_an_edit_with_nonsense_in_its_record(tmp_path: Path, change: dict) -> None:
    path = some_edit().save(tmp_path / "edit.safetensors")
    record, arrays = read_record(path, "factlens.edit", 4)
    write_record(path, "factlens.edit", 4, record | change, arrays)
    with pytest.raises(FileFormatError, match="not a complete factlens edit"):
        fl.Edit.load(path)


def test_a_second_moment_that_is_no_matrix(tmp_path: Path) -> None:
    path = some_moment().save(tmp_path / "moment.safetensors")
    record, _ = read_record(path, "factlens.moment", 3)
    for total in (np.zeros(4), np.zeros((4, 3))):
        write_record(path, "factlens.moment", 3, record, {"total": total})
        with pytest.raises(FileFormatError, match="not a complete factlens second moment"):
            SecondMoment.load(path)
