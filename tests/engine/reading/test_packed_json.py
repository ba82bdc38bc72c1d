"""JSON in archives, and what only windows-1252 has."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.engine.reading.factory import Read, attribute, table, written

COLUMNS = (attribute("id", "int"), attribute("note"))


def packed(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    elif path.suffix == ".tgz":
        with tarfile.open(path, "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        path.write_bytes(gzip.compress(b"".join(members.values())))
    return path


@pytest.mark.parametrize("name", ["f.json.gz", "f.zip", "f.tgz"])
@pytest.mark.parametrize("kind", ["JSON", "JSON_FLAT"])
def test_json_lines(tmp_path: Path, kind: str, name: str) -> None:
    members = {
        "a.json": b'{"id":1,"note":"\xc3\xa9"}\n{"id":"x","note":"b"}\n',
        "b.json": b'{"id":2,"note":null}\n{broken\n',
    }
    read = Read(table(*COLUMNS, format=kind), packed(tmp_path / name, members))
    assert sorted(read.rows) == [(1, "é"), (2, None)]
    assert len(read.errors) == 2
    assert all(error.endswith(f"FILE -> {tmp_path / name}") for error in read.errors)


@pytest.mark.parametrize("name", ["f.json.gz", "f.zip", "f.tgz"])
def test_json_array(tmp_path: Path, name: str) -> None:
    members = {"a.json": b'[{"id":1,"note":"a"},\n {"id":2}]'}
    read = Read(table(*COLUMNS, format="JSON", array=True), packed(tmp_path / name, members))
    assert (read.rows, read.errors) == ([(1, "a"), (2, None)], [])


def test_bytes_that_differ_between_windows_1252_and_iso_8859_1(tmp_path: Path) -> None:
    file = written(tmp_path / "f.csv", b"id,note\n1,\x80 \x93quoted\x94\n")
    assert Read(table(*COLUMNS, encoding="windows-1252"), file).rows == [(1, "€ “quoted”")]
    assert Read(table(*COLUMNS, encoding="ISO-8859-1"), file).rows == [(1, "\x80 \x93quoted\x94")]
