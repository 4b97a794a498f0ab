"""Results come back as they were put, or not at all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eagleeye.errors import ArtifactError
from tasks.state.result_cache import ResultCache

RESULT = {"accuracy": 0.1 + 0.2, "history": [{"epoch": 1, "loss": 1e-17}], "none": None}


def test_a_result_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "not" / "yet")
    assert cache.get("key") is None
    cache.put("key", RESULT)
    assert ResultCache(tmp_path / "not" / "yet").get("key") == RESULT
    assert cache.get("other") is None


def test_many_threads_may_put_the_same_result(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.put("key", RESULT), range(50)))
    assert cache.get("key") == RESULT
    assert [path.name for path in tmp_path.iterdir()] == ["key.json"]


@pytest.mark.parametrize("content", ['{"accuracy": 0.', "[1]", "null", "[" * 100_000, "\0", "\ud800", None])
def test_a_damaged_file_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key.json"
    path.mkdir() if content is None else path.write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ArtifactError, match=r"key\.json is damaged .*delete it and run again"):
        ResultCache(tmp_path).get("key")
