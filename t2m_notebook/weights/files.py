"""Safetensors files, written tensor by tensor: the memory that it takes is one tensor's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

import torch

from ..capture.tensors import version_of

# Torch's dtype -> name in the file, in the order in which the format sorts tensors (last ones first).
_DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3", torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32", torch.complex64: "C64",
    torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64"}
_RANK = {dtype: rank for rank, dtype in enumerate(_DTYPES)}


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of ``tensor`` in row-major order; no copy where it lies so already."""
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if not flat.numel():
        return memoryview(b"")
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())


def write_tensors(tensors: Mapping[str, torch.Tensor], file: str | os.PathLike,
                  metadata: Mapping[str, str] | None = None) -> None:
    """Write ``tensors`` as a safetensors file, byte for byte as ``safetensors.torch.save_file`` does.

    Views and tensors that share memory are written out whole. Half a file never has the name
    ``file``. Raises ``OSError`` when the disk is full, ``ValueError`` for a dtype that the
    format lacks.
    """
    names = sorted(tensors, key=lambda name: (-_rank(name, tensors[name]), name.encode()))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name in names:
        tensor = tensors[name]
        end = position + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    part = Path(f"{os.fspath(file)}.part")
    try:
        with open(part, "wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for name in names:
                out.write(raw_bytes(tensors[name]))
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _rank(name: str, tensor: torch.Tensor) -> int:
    if tensor.dtype not in _RANK:
        raise ValueError(f"{name} has dtype {tensor.dtype}, which a safetensors file can't hold")
    return _RANK[tensor.dtype]


class WeightsFile:
    """The weights of one port on disk: written when first asked for, then given out as often as
    wanted. Written again when a tensor or the file itself changed in between."""

    name = "weights.safetensors"

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        self.tensors = tensors
        self._folder: str | None = None
        self._stamp: tuple | None = None
        self._removal: weakref.finalize | None = None

    def put(self, folder: str | os.PathLike) -> Path:
        """The file in ``folder``: another name of the same bytes on disk, or a copy."""
        target, source = Path(folder, self.name), self._current()
        if source.stat().st_nlink == 1:  # a folder that was given out already keeps its file to itself
            with contextlib.suppress(OSError):  # another disk, or one without hard links
                os.link(source, target)
                return target
        shutil.copyfile(source, target)
        return target

    def lend(self) -> Path:
        """The folder that the file lies in, for readers; it stays this object's own."""
        return self._current().parent

    def _current(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="t2m_weights_")
            self._removal = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        file = Path(self._folder, self.name)
        if self._stamp is None or self._stamp != self._stamped(file):
            file.unlink(missing_ok=True)  # what was given out is another file from now on
            write_tensors(self.tensors, file, {"format": "mlx"})
            self._stamp = self._stamped(file)
        return file

    def _stamped(self, file: Path) -> tuple | None:
        try:
            found = file.stat()
        except OSError:
            return None
        states = tuple((name, id(tensor), tensor.data_ptr(), version_of(tensor))
                       for name, tensor in self.tensors.items())
        return found.st_ino, found.st_size, found.st_mtime_ns, states

    def close(self) -> None:
        """Remove the file; it is written again when asked for."""
        if self._removal is not None:
            self._removal()
        self._folder = self._stamp = self._removal = None
