"""torchvision's data sets by name, downloaded by its own code from a server on this machine."""

import gzip
import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from eagleeye.data import open_source
from eagleeye.errors import ConfigError, DataError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which its files can be fetched."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as httpd:
        thread = threading.Thread(target=partial(httpd.serve_forever, poll_interval=0.02))
        thread.start()
        try:
            yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        finally:
            httpd.shutdown()
            thread.join()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def serve_cifar(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR-10 with six images per batch file; returns all pixels (n, 32, 32, 3), the test images last."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (36, 3, 32, 32), dtype=np.uint8)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    entries = {}
    for number, name in enumerate(names):
        part = slice(6 * number, 6 * number + 6)
        labels = [row % 10 for row in range(*part.indices(36))]
        entries[name] = pickle.dumps({"data": pixels[part].reshape(6, -1), "labels": labels})
    entries["batches.meta"] = pickle.dumps({"label_names": [f"class {label}" for label in range(10)]})
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (folder / "cifar-10-python.tar.gz").write_bytes(archive.getvalue())
    cifar = datasets.CIFAR10
    monkeypatch.setattr(cifar, "url", address + "cifar-10-python.tar.gz")
    monkeypatch.setattr(cifar, "tgz_md5", md5(archive.getvalue()))
    monkeypatch.setattr(cifar, "train_list", [[name, md5(entries[name])] for name in names[:5]])
    monkeypatch.setattr(cifar, "test_list", [[names[5], md5(entries[names[5]])]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(entries["batches.meta"])}
    monkeypatch.setattr(cifar, "meta", meta)
    return pixels.transpose(0, 2, 3, 1)


def test_cifar10_is_downloaded_once(tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = serve_cifar(*server, monkeypatch)
    root = tmp_path / "new" / "root"
    with pytest.raises(DataError, match=r"torchvision:CIFAR10 cannot be opened in .*root.*set download to true"):
        open_source("torchvision:CIFAR10", root=root)
    train, test = open_source("torchvision:CIFAR10", root=str(root), download=True)
    assert (len(train), len(test)) == (30, 6)
    assert train.classes[7] == "class 7"
    assert test.labels.tolist() == [row % 10 for row in range(30, 36)]
    for row in range(30):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(train.encoded(row)))), pixels[row])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(test.encoded(5)))), pixels[35])
    for served in server[0].iterdir():
        served.unlink()
    again, _ = open_source("torchvision:CIFAR10", root=root, download=True)
    assert again.encoded(3) == train.encoded(3)


def test_a_failing_download_says_so(tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    serve_cifar(*server, monkeypatch)
    archive = server[0] / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(DataError, match=r"torchvision:CIFAR10 cannot be opened.*check network and folder"):
        open_source("torchvision:CIFAR10", root=tmp_path / "a", download=True)
    archive.unlink()
    with pytest.raises(DataError, match=r"HTTP Error 404.*check network and folder"):
        open_source("torchvision:CIFAR10", root=tmp_path / "b", download=True)
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:1/nobody-listens")
    with pytest.raises(DataError, match=r"Connection refused.*check network and folder"):
        open_source("torchvision:CIFAR10", root=tmp_path / "c", download=True)


def test_mnist_is_divided_by_train_and_emnist_keeps_its_own_split(
    tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = server
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    resources = []
    for name, count in (("train", 12), ("t10k", 8)):
        images = bytes([0, 0, 8, 3]) + np.array([count, 28, 28], dtype=">i4").tobytes()
        labels = bytes([0, 0, 8, 1]) + np.array([count], dtype=">i4").tobytes()
        images += np.full((count, 28, 28), 7, dtype=np.uint8).tobytes()
        labels += bytes(row % 10 for row in range(count))
        for kind, data in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            packed = gzip.compress(data)
            (folder / f"{name}-{kind}.gz").write_bytes(packed)
            resources.append((f"{name}-{kind}.gz", md5(packed)))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    train, test = open_source("torchvision:MNIST", root=tmp_path / "mnist", download=True)
    assert (len(train), len(test)) == (12, 8)
    assert train.classes[0] == "0 - zero"
    assert np.asarray(Image.open(io.BytesIO(test.encoded(2)))).tolist() == [[7] * 28] * 28
    with pytest.raises(ConfigError, match=r"torchvision:EMNIST: its options do not fit .*split"):
        open_source("torchvision:EMNIST", root=tmp_path)
    with pytest.raises(DataError, match=r"torchvision:EMNIST cannot be opened"):
        open_source("torchvision:EMNIST", root=tmp_path, split="digits")


def test_named_splits(tmp_path: Path) -> None:
    root = tmp_path / "imagenette2"
    wnids = list(datasets.Imagenette._WNID_TO_CLASS)
    for split, count in (("train", 2), ("val", 1)):
        for wnid in wnids:
            (root / split / wnid).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (6, 5)).save(root / split / wnid / f"{number}.JPEG")
    train, test = open_source("torchvision:Imagenette", root=tmp_path)
    assert (len(train), len(test)) == (20, 10)
    assert train.classes[0] == "tench"
    _, same = open_source("torchvision:Imagenette", root=tmp_path, test_split="train")
    assert len(same) == 20
    with pytest.raises(DataError, match="Unknown value 'odd' for argument split"):
        open_source("torchvision:Imagenette", root=tmp_path, train_split="odd")


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("CIFAR11", {}, ConfigError, "torchvision has no data set 'CIFAR11'; close names: CIFAR10"),
        ("Caltech101", {}, DataError, "is not divided into training and test images"),
        ("CIFAR10", {"colour": 1}, ConfigError, "has no option 'colour'; it takes download, root, test_split"),
        ("CIFAR10", {"train": True}, ConfigError, "has no option 'train'"),
        ("SVHN", {"split": "extra"}, ConfigError, "has no option 'split'"),
        ("CIFAR10", {"root": None}, ConfigError, "needs the option 'root'"),
    ],
)
def test_names_and_options(tmp_path: Path, name: str, options: dict, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        open_source(f"torchvision:{name}", **{"root": tmp_path, **options})
    assert message in str(caught.value)
