"""What pip is told reaches uv, and what uv would do otherwise is left to pip."""

import base64
import hashlib
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import install

ROOT = Path(__file__).parents[1]


def test_settings_of_pip_are_what_uv_reads() -> None:
    told = """\
:env:.find-links='/wheels /more'
:env:.disable-pip-version-check='1'
freeze.timeout='10'
global.cert='/global.crt'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://global.example/simple'
install.index-url='https://install.example/simple'
"""
    assert install.for_uv(told) == {
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/global.crt",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_DEFAULT_INDEX": "https://install.example/simple",
    }
    assert install.for_uv("") == {}


@pytest.mark.parametrize("told", ["global.no-index='true'", ":env:.constraint='mine.txt'", "install.no-binary=':all:'"])
def test_what_uv_would_not_do_likewise_is_left_to_pip(told: str) -> None:
    assert install.for_uv(told) is None


@pytest.mark.parametrize(("settings", "uv", "wanted"), [({}, 0, "uv"), ({}, 1, "pip"), (None, 0, "pip")])
def test_pip_does_what_uv_does_not(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str] | None, uv: int, wanted: str
) -> None:
    tried = []

    def run(command: list[str], _environment: object) -> int:
        if "--editable" in command:
            tried.append(command[2])
        return uv if command[2] == "uv" else 0

    monkeypatch.setattr(install, "_run", run)
    monkeypatch.setattr(install, "for_uv", lambda _: settings)
    assert install.main("dev") == 0
    assert tried[-1] == wanted
    assert ("uv" in tried) == (settings is not None)


@pytest.mark.slow
def test_uv_finds_a_package_where_pip_is_told_to_look(tmp_path: Path) -> None:
    pytest.importorskip("uv")
    for folder, version in (("one", "1.0"), ("two", "2.0")):
        wheel(tmp_path / folder / "nobodys-package", version)
    told = f"global.extra-index-url={' '.join(f'file://{tmp_path}/{folder}' for folder in ('one', 'two'))!r}"
    settings = install.for_uv(told)
    assert settings is not None
    # An index that nobody may ask: what is found is found in the others.
    settings["UV_DEFAULT_INDEX"] = f"file://{tmp_path}/one"
    command = [*install.UV, "--no-config", "--no-deps", "--target", str(tmp_path / "target"), "nobodys-package"]
    subprocess.run(command, env={**os.environ, **settings, "UV_CACHE_DIR": str(tmp_path / "cache")}, check=True)
    # The newest of all indexes, as with pip.
    assert [path.name for path in (tmp_path / "target").glob("*.dist-info")] == ["nobodys_package-2.0.dist-info"]


def wheel(folder: Path, version: str) -> None:
    """An index's page with an empty package."""
    folder.mkdir(parents=True)
    name = f"nobodys_package-{version}"
    files = {
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: nobodys-package\nVersion: {version}\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{name}.dist-info/RECORD"] = "\n".join([*record, f"{name}.dist-info/RECORD,,", ""])
    with zipfile.ZipFile(folder / f"{name}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    (folder / "index.html").write_text(f'<a href="{name}-py3-none-any.whl">{name}-py3-none-any.whl</a>')


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
