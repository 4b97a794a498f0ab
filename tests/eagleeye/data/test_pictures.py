"""Data sets in torchvision's style, as users bring them."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import v2

from eagleeye.data.folder import FolderImages
from eagleeye.data.pictures import PictureImages, open_pictures
from eagleeye.errors import DataError


class Listed:
    """A data set that counts how often its items were read."""

    def __init__(self, pictures: list, numbers: list, **attributes) -> None:
        self.pictures, self.numbers, self.reads = pictures, numbers, 0
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int):
        self.reads += 1
        return self.pictures[row], self.numbers[row]


def grey(count: int) -> list[np.ndarray]:
    return [np.full((4, 5, 3), row % 250, dtype=np.uint8) for row in range(count)]


def pair(dataset):
    return open_pictures(dataset, dataset, "mine:data")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "P", "array", "grey array", "flat array"])
def test_pictures_are_coded_without_loss(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    if mode == "array":
        picture, expected = pixels, pixels
    elif mode == "grey array":
        picture = pixels[:, :, :1]
        expected = np.repeat(picture, 3, axis=2)
    elif mode == "flat array":
        picture = pixels[:, :, 0]
        expected = np.repeat(pixels[:, :, :1], 3, axis=2)
    else:
        picture = Image.fromarray(pixels).convert(mode)
        expected = np.asarray(picture.convert("RGB"))
    images, _ = pair([(picture, 0)])
    found = Image.open(io.BytesIO(images.encoded(0)))
    assert found.format == "PNG"
    assert np.array_equal(np.asarray(found.convert("RGB")), expected)


def test_a_label_list_saves_reading_the_images() -> None:
    labels = [row % 4 for row in range(500)]
    for attribute in ("targets", "labels", "_labels", "y"):
        dataset = Listed(grey(500), labels, **{attribute: labels})
        images, _ = pair(dataset)
        assert images.labels.tolist() == labels
        assert dataset.reads < 50
    dataset = Listed(grey(500), labels, targets=torch.tensor(labels))
    assert pair(dataset)[0].labels.tolist() == labels
    assert dataset.reads < 50


def test_a_label_list_that_contradicts_the_items_is_not_believed() -> None:
    labels = [row % 4 for row in range(40)]
    dataset = Listed(grey(40), labels, targets=[3 - label for label in labels])
    assert pair(dataset)[0].labels.tolist() == labels
    # One that agrees wherever it is looked at cannot be told by looking: a transform decides.
    subtle = [*labels[:1], labels[1] + 1, *labels[2:]]
    dataset = Listed(grey(40), labels, targets=subtle, target_transform=lambda label: label)
    assert pair(dataset)[0].labels.tolist() == labels


def test_names_of_the_classes() -> None:
    three = Listed(grey(3), [0, 1, 2])
    assert pair(three)[0].classes == ("0", "1", "2")
    assert pair(Listed(grey(2), [0, 1], classes=["cat", "dog"]))[0].classes == ("cat", "dog")
    assert pair(Listed(grey(2), [0, 1], classes=[("tench", "Tinca tinca"), ("cat",)]))[0].classes == ("tench", "cat")
    named = Listed(grey(3), [0, 1, 2], classes=["cat", "dog", "owl"])
    train, test = open_pictures(Listed(grey(2), [0, 1]), named, "mine:data")
    assert train.classes == test.classes == ("cat", "dog", "owl")
    train, _ = open_pictures(Listed(grey(2), [0, 1]), three, "mine:data")
    assert train.classes == ("0", "1", "2")
    with pytest.raises(DataError, match="mine:data: training and test set name different classes"):
        open_pictures(named, Listed(grey(2), [0, 1], classes=["dog", "cat"]), "mine:data")


def test_files_of_an_image_folder_are_read_as_they_are(tmp_path) -> None:
    (tmp_path / "cat").mkdir()
    path = tmp_path / "cat" / "1.jpg"
    Image.new("RGB", (4, 4)).save(path)
    images, _ = pair(ImageFolder(tmp_path))
    assert isinstance(images, FolderImages)
    assert images.encoded(0) == path.read_bytes()
    changed, _ = pair(ImageFolder(tmp_path, transform=v2.Resize(2)))
    assert isinstance(changed, PictureImages)
    assert Image.open(io.BytesIO(changed.encoded(0))).size == (2, 2)


def test_torchvision_fake_data() -> None:
    images, _ = pair(FakeData(size=6, image_size=(3, 8, 8), num_classes=3))
    assert len(images) == 6
    assert Image.open(io.BytesIO(images.encoded(5))).size == (8, 8)


class Broken:
    def __len__(self) -> int:
        return 3

    def __getitem__(self, row: int):
        raise OSError("camera unplugged")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (7, "training set is a int; needed is an ImageSet"),
        ([], "training set is empty"),
        ([3], "row 0 is a int; needed is a pair"),
        ([(1, 2, 3)], "row 0 is a tuple; needed is a pair"),
        ([(grey(1)[0], "cat")], "the label of row 0 is 'cat'; needed is one whole number"),
        ([(grey(1)[0], 0.5)], "the label of row 0 is 0.5"),
        ([(grey(1)[0], None)], "the label of row 0 is None"),
        ([(grey(1)[0], -1), (grey(1)[0], 0)], "row 0 has label -1"),
        (Listed(grey(3), [0, 1, 2], classes=["cat"]), "row 1 has label 1, allowed are 0 to 0"),
        ([(grey(1)[0], 10**30)], f"the label of row 0 is {10**30}"),
        ([(grey(1)[0], 0), (grey(1)[0], 10**9)], "row 1 has label 1000000000, and the classes have no names"),
        (Broken(), "reading row 0 failed: OSError: camera unplugged"),
    ],
)
def test_data_that_are_not_what_they_should_be(dataset, message: str) -> None:
    with pytest.raises(DataError) as caught:
        pair(dataset)
    assert "mine:data" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(3, 4, 4), r"row 0 is a Tensor \(3, 4, 4\) of torch.float32"),
        (np.zeros((4, 4, 3)), r"ndarray \(4, 4, 3\) of float64"),
        (Image.new("F", (2, 2)), "PIL image of mode F"),
    ],
)
def test_pictures_that_are_not_what_they_should_be(picture, message: str) -> None:
    images, _ = pair([(picture, 0)])
    with pytest.raises(DataError, match=message):
        images.encoded(0)


def test_an_image_set_stays_itself_and_is_checked() -> None:
    class Own:
        classes = ("cat", "dog")

        def __init__(self, labels: list[int]) -> None:
            self.labels = np.array(labels)

        def __len__(self) -> int:
            return 2

        def encoded(self, row: int) -> bytes:
            return b""

    own = Own([0, 1])
    assert pair(own) == (own, own)
    with pytest.raises(DataError, match="test set has 2 images but 3 labels"):
        open_pictures(own, Own([0, 1, 1]), "mine:data")
    with pytest.raises(DataError, match="row 1 has label 5"):
        pair(Own([0, 5]))
