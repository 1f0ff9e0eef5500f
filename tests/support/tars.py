"""Gzipped tars, as the programs of authors make them; the service itself writes none."""

import gzip
import io
import tarfile
from collections.abc import Iterable

from domain.formats.archives import mode_of


def tar_gz_of(tree: Iterable[tuple[str, bytes]], folder: str | None = None) -> bytes:
    """A gzipped tar of the files in ``folder``; at the root without one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for path, data in tree:
            info = tarfile.TarInfo(f"{folder}/{path}" if folder else path)
            info.size, info.mode = len(data), mode_of(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), compresslevel=0, mtime=0)
