"""Files that lie where others should: stand-ins left by large-file storage, web pages, packed files."""

LOOKED_AT = 512  # bytes of a file's beginning that tell what it is

_STARTS = (
    (b"version https://git-lfs.github.com/spec/", "a git-lfs pointer instead of the file: fetch it by `git lfs pull`"),
    (b"version https://hawser.github.com/spec/", "a git-lfs pointer instead of the file: fetch it by `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer instead of the file: fetch it by `git annex get`"),
    (b"outs:", "a DVC pointer instead of the file: fetch it by `dvc pull`, and give the file without .dvc"),
    (b"\x1f\x8b", "packed by gzip: unpack it"),
    (b"BZh", "packed by bzip2: unpack it"),
    (b"\xfd7zXZ\x00", "packed by xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them: convert it"),
)
_PAGES = (b"<!doctype html", b"<html", b"<?xml")


def recognised(start: bytes) -> str | None:
    """What a file is whose content is not what its name promises.

    Args:
        start: Its first bytes, `LOOKED_AT` of them or more.

    Returns:
        What it is, with the way out, to follow "FILE is"; None for whatever is not known.
    """
    for beginning, kind in _STARTS:
        if start.startswith(beginning):
            return kind
    if start[:LOOKED_AT].lstrip().lower().startswith(_PAGES):
        return "a web page instead of the file: the download failed or asks to sign in; fetch it again"
    return None
