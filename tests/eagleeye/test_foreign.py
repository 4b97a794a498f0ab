"""Stand-ins are told by their first bytes; real files are none."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eagleeye.foreign import LOOKED_AT, recognised


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s12--abc.jpg\n", "git annex get"),
        (b"outs:\n- md5: 1234\n  path: net.pth\n", "dvc pull"),
        (b"\n  <!DOCTYPE html><html>", "a web page"),
        (b"<HTML><body>404", "a web page"),
        (b"<?xml version='1.0'?><Error>AccessDenied", "a web page"),
        (gzip.compress(b"anything", mtime=0), "packed by gzip"),
    ],
)
def test_what_is_recognised(start: bytes, words: str) -> None:
    assert words in str(recognised(start[:LOOKED_AT]))


def test_real_files_are_not_recognised(tmp_path: Path) -> None:
    files = []
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"):
        picture = io.BytesIO()
        Image.new("RGB", (3, 3)).save(picture, kind)
        files.append(picture.getvalue())
    torch.save({"x": torch.zeros(1)}, tmp_path / "net.pth")
    np.save(tmp_path / "array.npy", np.zeros(3))
    files += [path.read_bytes() for path in tmp_path.iterdir()]
    assert [recognised(content[:LOOKED_AT]) for content in (*files, b"", b"hello")] == [None] * (len(files) + 2)
