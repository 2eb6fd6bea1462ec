"""The weights are written once: what is given out again has the same bytes, and is nobody else's."""

from __future__ import annotations

import gc
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from t2m_notebook.parity.process import Worker
from t2m_notebook.port.block_source import file_of_name, library
from t2m_notebook.weights import files
from t2m_notebook.weights.files import WeightsFile, write_tensors

from .support import net, ported

DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64, torch.float16,
          torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2)


def written(tensors, folder, name="written") -> bytes:
    write_tensors(tensors, folder / name, {"format": "mlx"})
    return (folder / name).read_bytes()


def test_the_bytes_are_those_of_safetensors(tmp_path):
    tensors = {f"{number}.é\"": torch.arange(6).reshape(2, 3).to(dtype) for number, dtype in enumerate(DTYPES)}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "z.10": torch.ones(1), "z.9": torch.ones(2)}
    save_file(tensors, tmp_path / "expected", {"format": "mlx"})
    assert written(tensors, tmp_path) == (tmp_path / "expected").read_bytes()
    save_file(tensors, tmp_path / "expected")
    write_tensors(tensors, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "expected").read_bytes()


def test_views_and_shared_memory_are_written_out(tmp_path):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    views = {"turned": whole.permute(2, 0, 1), "part": whole[:, 1:], "same": whole, "conj": (whole * 1j).conj()}
    own = {name: value.resolve_conj().contiguous().clone() for name, value in views.items()}
    save_file(own, tmp_path / "expected", {"format": "mlx"})
    assert written(views, tmp_path) == (tmp_path / "expected").read_bytes()


def test_an_unknown_dtype_is_named(tmp_path):
    with pytest.raises(ValueError, match="w has dtype torch.complex128"):
        write_tensors({"w": torch.zeros(2, dtype=torch.complex128)}, tmp_path / "no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_half_a_file_is_no_file(tmp_path, monkeypatch, error):
    real, calls = files.raw_bytes, []

    def interrupted(tensor):
        calls.append(tensor)
        if len(calls) == 2:
            raise error
        return real(tensor)

    monkeypatch.setattr(files, "raw_bytes", interrupted)
    with pytest.raises(error):
        write_tensors({"a": torch.ones(3), "b": torch.ones(4)}, tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    made = WeightsFile({"w": torch.arange(6.0).reshape(2, 3).clone(), "b": torch.ones(3)})
    yield made
    made.close()


def test_given_out_twice_with_equal_bytes_as_two_files(weights, tmp_path):
    one, two = weights.put(tmp_path / "one"), weights.put(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes() == written(weights.tensors, tmp_path)
    assert not os.path.samefile(one, two)  # who edits one in place leaves the other alone


def test_it_is_written_once(weights, tmp_path, monkeypatch):
    weights.lend()
    monkeypatch.setattr(files, "write_tensors", lambda *_: pytest.fail("written again"))
    weights.put(tmp_path / "one")
    weights.put(tmp_path / "two")


def test_a_copy_where_links_can_not_be(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "link", lambda *_: (_ for _ in ()).throw(OSError("another disk")))
    assert weights.put(tmp_path / "one").read_bytes() == written(weights.tensors, tmp_path)


@pytest.mark.parametrize("spoil", [
    lambda made, path: path.write_bytes(b"spoilt"), lambda made, path: made.tensors["w"].add_(1),
    lambda made, path: made.tensors.update(w=torch.zeros(2, 3)),
    lambda made, path: (made.lend() / made.name).unlink()],
    ids=["edited in place", "written to", "replaced", "gone"])
def test_what_changed_is_written_again(weights, tmp_path, spoil):
    spoil(weights, weights.put(tmp_path / "one"))
    assert weights.put(tmp_path / "two").read_bytes() == written(weights.tensors, tmp_path)


def test_closing_leaves_nothing(weights, tmp_path):
    folder = weights.lend()
    weights.close()
    assert not folder.exists()
    assert weights.put(tmp_path / "one").read_bytes() == written(weights.tensors, tmp_path)  # and it goes on


def test_a_forgotten_file_is_removed():
    folder = WeightsFile({"w": torch.ones(2)}).lend()
    gc.collect()
    assert not folder.exists()


# -- through a port ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port():
    model, x = net()
    made = ported(model, x)
    made.parity()
    yield made
    made.close()


def test_a_saved_port_has_the_bytes_of_a_fresh_file(port, tmp_path):
    for name in ("first", "second"):
        saved = port.save(str(tmp_path / name)) / "weights.safetensors"
        assert saved.read_bytes() == written(port.weights, tmp_path)


def test_an_interrupted_save_leaves_nothing(port, tmp_path, monkeypatch):
    def interrupted(folder):
        (folder / "weights.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(port.weights_file, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            port.save(str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
    assert (port.save(str(tmp_path / "out")) / "weights.safetensors").read_bytes() == written(port.weights, tmp_path)


def test_what_is_saved_is_the_source_of_now(tmp_path):
    model, x = net()
    made = ported(model, x)
    try:
        made.parity()
        name, = [name for name, cell in made.cells.items() if not any(cell.paths)]
        made.cells[name].set(made.cells[name].source.replace("max_pool", "max_pool") + "\n# mine\n")
        saved = made.save(str(tmp_path / "out"))
        assert "# mine" in (saved / "model.py").read_text()
        assert (saved / "weights.safetensors").read_bytes() == written(made.weights, tmp_path)
    finally:
        made.close()


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def test_each_size_is_compared_once():
    torch.manual_seed(0)
    made = ported(Pair(), torch.randn(1, 4))
    try:
        report = made.parity()
        assert report.ok, str(report)
        whole = sorted(result.check for result in report.results if not result.path)
        assert whole == ["end to end", "other batch: 2×4"]
        assert {result.path for result in report.results} == {"", "first", "second"}
    finally:
        made.close()


def test_the_collector_is_left_as_it_was():
    model, x = net()
    for before in (True, False):
        (gc.enable if before else gc.disable)()
        try:
            ported(model, x).close()
            assert gc.isenabled() is before
        finally:
            gc.enable()


# -- the worker while it works ----------------------------------------------------------------


def test_work_in_the_meantime_that_fails_ends_the_request():
    worker = Worker()
    try:
        worker.start()
        assert worker.request({"do": "ping"}, meanwhile=lambda: None) == {"ok": True}
        generation = worker.generation
        with pytest.raises(OSError, match="disk full"):
            worker.request({"do": "ping"}, meanwhile=lambda: (_ for _ in ()).throw(OSError("disk full")))
        assert worker.request({"do": "ping"}) == {"ok": True}  # an answer of its own, from a new process
        assert worker.generation == generation + 1
    finally:
        worker.close()


def test_every_block_is_found_in_its_file():
    assert set(file_of_name()) == set(library())
