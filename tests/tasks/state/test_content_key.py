import math
from pathlib import Path

import pytest

from tasks.state.content_key import content_key


@pytest.fixture
def parts(tmp_path):
    folder = tmp_path / "library"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.py").write_text("a")
    (folder / "sub" / "b.py").write_text("b")
    table = tmp_path / "table.parquet"
    table.write_bytes(b"rows")
    return {
        "table": table,
        "library": folder,
        "settings": {"mode": "reset", "iterations": None, "sizes": [1, 2]},
    }


def test_the_key_depends_on_content_alone(parts, tmp_path):
    key = content_key(parts)
    assert len(key) == 64
    assert content_key(dict(reversed(parts.items()))) == key
    moved = parts["table"].rename(tmp_path / "elsewhere")
    assert content_key({**parts, "table": moved}) == key
    (parts["library"] / "__pycache__").mkdir()
    (parts["library"] / "__pycache__" / "a.pyc").write_text("compiled")
    assert content_key({**parts, "table": moved}) == key
    assert (
        content_key({**parts, "table": moved, "settings": {"sizes": (1, 2), "iterations": None, "mode": "reset"}})
        == key
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts["table"].write_bytes(b"other rows"),
        lambda parts: (parts["library"] / "sub" / "b.py").write_text("c"),
        lambda parts: (parts["library"] / "sub" / "b.py").rename(parts["library"] / "b.py"),
        lambda parts: (parts["library"] / "new.py").write_text(""),
        lambda parts: parts["settings"].update(mode="paper"),
        lambda parts: parts["settings"].update(iterations=0),
        lambda parts: parts.update(table=str(parts["table"])),
        lambda parts: parts.update(renamed=parts.pop("table")),
    ],
)
def test_any_change_gives_another_key(parts, change):
    before = content_key(parts)
    change(parts)
    assert content_key(parts) != before


def test_a_key_needs_its_files_and_honest_numbers(parts):
    with pytest.raises(FileNotFoundError):
        content_key({"table": Path("missing")})
    with pytest.raises(ValueError, match="JSON"):
        content_key({"lr": math.nan})
