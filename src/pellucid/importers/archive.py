"""Zip archives from strangers: looked at before any framework opens them."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import ModelError, PellucidError

MOST_MEMBERS = 100_000
MOST_BYTES = 16 * 2**30
"""Unpacked: more than any model that exact methods could eat."""

MOST_RATIO = 200
"""Unpacked to packed, of archives above SMALL bytes: weights hardly compress, a bomb does (1000 to 1)."""

SMALL = 64 * 2**20


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory checked: sizes, ratios, names that climb out of it. ModelError where it fails."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    with reading(path, what), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
        if len(members) > MOST_MEMBERS or unpacked > MOST_BYTES or (unpacked > SMALL and unpacked > MOST_RATIO * max(packed, 1)):
            raise ModelError(f"{path} unpacks to {unpacked:,} bytes in {len(members):,} members from {packed:,} bytes: "
                             "that is no model, it was not read")
        for m in members:
            name = PurePosixPath(m.filename.replace("\\", "/"))
            if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] * bool(name.parts):
                raise ModelError(f"{path} holds a member '{m.filename}' that points outside of the archive; it was not read")
        yield archive


@contextlib.contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes a ModelError that names the file: strangers' bytes can raise anything."""
    try:
        yield
    except PellucidError:
        raise
    except Exception as e:
        raise ModelError(f"{path} cannot be read as {what}: {type(e).__name__}: {e}\n"
                         "  Likely cause   a broken or truncated file, one of another kind, or one of a newer version") from e
