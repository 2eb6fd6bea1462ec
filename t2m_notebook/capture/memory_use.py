"""Measures where torch's memory goes: every storage that a run makes, when it is made and when it is freed.

A ``TorchDispatchMode`` sees each new storage and a weak reference sees it go: the sum is what torch allocates for
tensors, to the byte, on any device. What a kernel takes and gives back inside one call is not in it. What autograd
keeps for the backward pass is seen by
``torch.autograd.graph.saved_tensors_hooks``, each storage once.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import BadExample, ForwardFailed
from ..inspection.arithmetic import fit, precisions, state_count
from ..types.memory import KeyValueCache, MemoryPart, MemoryReport, ModuleMemory
from .examples import _hint, check_example, check_model
from .health_run import _loss_of, undisturbed
from .optimizer_memory import optimizer_state, optimizer_state_name
from .recording import DTYPE_NAMES
from .tensors import deep_tensors
from .tree import places

Variant = tuple[str, int, tuple, dict[str, Any]]


class Allocations(TorchDispatchMode):
    """Counts the bytes of tensor storages that are made while it is entered and not freed yet."""

    def __init__(self, model: torch.nn.Module, known: Sequence[torch.Tensor]):
        super().__init__()
        self.live = self.peak = self.made = 0
        self.predicted = 0  # numel × bytes of the results that own their memory
        self.by_module: dict[str, int] = {}
        self.saved: dict[int, tuple[int, str, str]] = {}  # storage -> (bytes, module, dtype)
        self.saved_arithmetic = 0
        self.keys_and_values: list[int] = []
        self.calls: dict[str, int] = {}
        self.stack: list[str] = []
        self._paths = {id(module): path for path, module in reversed(list(places(model)))}
        self._known: dict[int, weakref.ref] = {}
        self._outside = {t.untyped_storage()._cdata for t in known if t.layout is torch.strided}
        self._outside_tensors = list(known)  # keeps the addresses theirs

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if "scaled_dot_product" in str(function) and "backward" not in str(function) and len(args) > 2:
            self.keys_and_values.append(args[1].nbytes + args[2].nbytes)
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor)
        return result

    def _see(self, tensor: torch.Tensor) -> None:
        if tensor.layout is not torch.strided or isinstance(tensor, torch._subclasses.FakeTensor):
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._known.get(key)
        if key in self._outside or (known is not None and known() is not None):
            return
        size = storage.nbytes()

        def freed(_, self=self, key=key, size=size):
            self._known.pop(key, None)
            self.live -= size

        self._known[key] = weakref.ref(storage, freed)
        self.live += size
        self.made += size
        self.predicted += tensor.numel() * tensor.element_size()
        self.peak = max(self.peak, self.live)
        path = self.stack[-1] if self.stack else ""
        self.by_module[path] = self.by_module.get(path, 0) + size

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """Autograd keeps ``tensor``."""
        if tensor.layout is torch.strided:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._outside and storage._cdata not in self.saved:
                path = self.stack[-1] if self.stack else ""
                self.saved[storage._cdata] = (storage.nbytes(), path, DTYPE_NAMES[tensor.dtype])
                self.saved_arithmetic += tensor.numel() * tensor.element_size()
        return tensor.detach()

    @contextlib.contextmanager
    def modules(self) -> Iterator[None]:
        """While the block runs, it is known which module is at work."""
        previous, me = torch.nn.Module.__call__, self

        def __call__(module, *args, **kwargs):
            path = me._paths.get(id(module), me.stack[-1] if me.stack else "")
            me.stack.append(path)
            me.calls[path] = me.calls.get(path, 0) + 1
            try:
                return previous(module, *args, **kwargs)
            finally:
                me.stack.pop()

        torch.nn.Module.__call__ = __call__
        try:
            with torch.compiler.set_stance("force_eager"):  # what torch.compile compiled is seen as it was written
                yield
        finally:
            torch.nn.Module.__call__ = previous


def _given(model: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    tensors = [t for _, t in deep_tensors([list(args), dict(kwargs)], "")]
    return [*model.parameters(), *model.buffers(), *tensors]


def run_inference(model: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[Allocations, Any]:
    """One forward without gradients, counted."""
    counted = Allocations(model, _given(model, args, kwargs))
    with undisturbed(model), torch.no_grad(), counted.modules(), counted:
        result = model(*args, **kwargs)
    return counted, result


def run_training(model: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[Allocations, int, int]:
    """One forward and backward pass, counted: the counts, bytes of the gradients, bytes alive after the forward."""
    counted = Allocations(model, _given(model, args, kwargs))
    with undisturbed(model), torch.enable_grad(), counted.modules(), counted:
        with torch.autograd.graph.saved_tensors_hooks(counted.pack, lambda tensor: tensor):
            result = model(*args, **kwargs)
            after = counted.live
            loss = _loss_of(result, [])
        if not loss.requires_grad:
            raise BadExample("training: nothing in the result requires a gradient; pass training=False.")
        del result
        loss.reshape(()).backward()
        gradients = sum(
            p.grad.untyped_storage().nbytes()
            for p in model.parameters()
            if p.grad is not None and p.grad.layout is torch.strided
        )
    return counted, gradients, after


def torch_memory(
    model: torch.nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    optimizer: Any = "adamw",
    training: bool = True,
    variants: Sequence[Variant] = (),
    batch: int = 0,
    length: int = 0,
) -> MemoryReport:
    """Measure ``model`` on an example: a forward, a training step, and the peaks at the sizes of ``variants``.

    Raises a :class:`~t2m_notebook.errors.T2MError`.
    """
    started = time.perf_counter()
    check_model(model)
    check_example(model, args, kwargs)
    trainable = [p for p in model.parameters() if p.requires_grad]
    notes, parts, training_run = [], [], None
    try:
        inference, result = run_inference(model, args, kwargs)
        cache = _cache(inference, result, batch, length)
        del result
        if training and not trainable:
            training = False
            notes.append("no parameter requires a gradient, so there is no training step to measure")
        if training:
            training_run, gradients, after = run_training(model, args, kwargs)
    except (BadExample, ForwardFailed):
        raise
    except Exception as error:
        raise ForwardFailed(
            f"the model raised while it was measured\n{type(error).__name__}: {error}{_hint(error)}"
        ) from error
    parameters, text = _stored(model.parameters())
    buffers, _ = _stored(model.buffers())
    arithmetic = sum(p.numel() * p.element_size() for p in model.parameters())
    inputs = sum(
        t.nbytes
        for t in {id(t): t for _, t in deep_tensors([list(args), dict(kwargs)], "")}.values()
        if t.layout is torch.strided
    )
    storage = "bytes of the storages, each once"
    for mode in ("inference", "training") if training else ("inference",):
        parts += [
            MemoryPart(mode, "parameters", parameters, arithmetic, text, storage),
            MemoryPart(
                mode,
                "buffers",
                buffers,
                sum(b.numel() * b.element_size() for b in model.buffers()),
                "numbers × bytes",
                storage,
            ),
            MemoryPart(mode, "inputs", inputs, inputs, "numbers × bytes", storage),
        ]
        if mode == "inference":
            parts += [
                MemoryPart(
                    mode,
                    "activations at the peak",
                    inference.peak,
                    None,
                    "",
                    "storages that are alive at the worst moment",
                ),
                MemoryPart(
                    mode,
                    "all results",
                    inference.made,
                    inference.predicted,
                    "Σ numbers × bytes of every result with memory of its own",
                    "storages that were made",
                ),
                MemoryPart(mode, "peak", parameters + buffers + inputs + inference.peak, None, "", "sum of the above"),
            ]
            continue
        name, state, predicted_state = optimizer_state(model, optimizer)
        saved = sum(size for size, _, _ in training_run.saved.values())
        grad_text = f"{sum(p.numel() for p in trainable):,} trainable numbers × their bytes"
        parts += [
            MemoryPart(
                mode,
                "saved for backward",
                saved,
                training_run.saved_arithmetic,
                "Σ numbers × bytes of what was saved",
                "saved_tensors_hooks, each storage once, whole also for a view; without parameters and inputs",
            ),
            MemoryPart(mode, "alive after the forward", after, None, "", "storages that are alive"),
            MemoryPart(
                mode, "gradients", gradients, sum(p.numel() * p.element_size() for p in trainable), grad_text, storage
            ),
            MemoryPart(
                mode,
                "optimizer state",
                state,
                predicted_state,
                f"{state_count(name) or 0} × numbers × bytes" if predicted_state is not None else "",
                f"torch.optim.{name} after one step",
            ),
            MemoryPart(
                mode,
                "activations and gradients at the peak",
                training_run.peak,
                None,
                "",
                "storages that are alive at the worst moment of forward and backward",
            ),
            MemoryPart(
                mode, "peak", parameters + buffers + inputs + state + training_run.peak, None, "", "sum of the above"
            ),
        ]
    scalings = _scalings(model, inference, after if training else None, variants, batch, length, notes)
    devices = sorted({str(p.device) for p in model.parameters()}) or ["cpu"]
    notes.append("torch's own tensors, to the byte; what a kernel takes and gives back inside one call is not in it")
    if model.training:
        notes.append("the model is in train mode")
    return MemoryReport(
        type(model).__name__,
        "torch",
        tuple(parts),
        _modules(model, inference, training_run),
        _dtypes(training_run),
        precisions(_weights(model)),
        scalings,
        cache,
        _counters(devices),
        optimizer_state_name(optimizer) if training else "",
        ", ".join(devices),
        inputs,
        batch,
        length,
        tuple(notes),
        time.perf_counter() - started,
    )


def _stored(tensors: Any) -> tuple[int, str]:
    storages: dict[int, int] = {}
    numbers: dict[str, int] = {}
    for tensor in tensors:
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        name = f"{DTYPE_NAMES[tensor.dtype]} × {tensor.element_size()} bytes"
        numbers[name] = numbers.get(name, 0) + tensor.numel()
    return sum(storages.values()), " + ".join(f"{count:,} {name}" for name, count in numbers.items())


def _dtypes(run: Allocations | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for size, _, dtype in run.saved.values() if run is not None else ():
        found[dtype] = found.get(dtype, 0) + size
    return found


def _modules(model: torch.nn.Module, inference: Allocations, training: Allocations | None) -> tuple[ModuleMemory, ...]:
    saved: dict[str, int] = {}
    for size, path, _ in training.saved.values() if training is not None else ():
        saved[path] = saved.get(path, 0) + size
    found, seen = [], set()
    for path, module in places(model):
        own = [p for p in module._parameters.values() if p is not None and id(p) not in seen]
        seen |= {id(p) for p in own}
        found.append(
            ModuleMemory(
                path,
                type(module).__name__,
                tuple(sorted({DTYPE_NAMES[p.dtype] for p in own})),
                sum(p.nbytes for p in own),
                inference.by_module.get(path, 0),
                saved.get(path, 0),
                inference.calls.get(path, 0),
            )
        )
    return tuple(found)


def _weights(model: torch.nn.Module) -> list[tuple[tuple[int, ...], bool]]:
    matrices = {id(m.weight) for m in model.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Embedding))}
    # Its three projections are one matrix in torch and three linear layers elsewhere.
    matrices |= {id(m.in_proj_weight) for m in model.modules() if isinstance(m, torch.nn.MultiheadAttention)}
    return [(tuple(p.shape), id(p) in matrices) for p in model.parameters()]


def _cache(run: Allocations, result: Any, batch: int, length: int) -> KeyValueCache | None:
    """The cache that the model gives back, else the keys and values that its attention calls were fed."""
    plain = {id(t) for t in tree_leaves(result) if isinstance(t, torch.Tensor)}
    kept = [t for _, t in deep_tensors(result, "") if t.dim() == 4 and id(t) not in plain] or [
        t for t in tree_leaves(getattr(result, "past_key_values", None)) if isinstance(t, torch.Tensor)
    ]
    tokens = batch * length
    if kept and tokens:
        return KeyValueCache(
            sum(t.nbytes for t in kept) // tokens, len(kept) // 2, "the cache that the model gives back"
        )
    if run.keys_and_values and tokens:
        return KeyValueCache(
            sum(run.keys_and_values) // tokens,
            len(run.keys_and_values),
            "keys and values of every attention call, as they were fed (repeated heads count)",
        )
    return None


def _scalings(
    model: torch.nn.Module,
    inference: Allocations,
    kept: int | None,
    variants: Sequence[Variant],
    batch: int,
    length: int,
    notes: list[str],
) -> tuple:
    points: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for axis, size, args, kwargs in variants:
        try:
            runs = [("peak of inference", run_inference(model, args, kwargs)[0].peak, inference.peak)]
            if kept is not None:
                runs.append(("kept for backward in training", run_training(model, args, kwargs)[2], kept))
        except Exception as error:
            notes.append(f"not measured at {axis} {size}: the model raised {type(error).__name__}")
            continue
        for quantity, peak, base in runs:
            start = [(batch if axis == "batch" else length, base)]
            points.setdefault((axis, quantity), start).append((size, peak))
    return tuple(fit(axis, quantity, found) for (axis, quantity), found in points.items())


def _counters(devices: Sequence[str]) -> dict[str, int]:
    """The device's own counters, where there are any."""
    if any(d.startswith("cuda") for d in devices):
        return {
            "active": torch.cuda.memory_allocated(),
            "peak": torch.cuda.max_memory_allocated(),
            "reserved": torch.cuda.memory_reserved(),
        }
    if any(d.startswith("mps") for d in devices):
        return {"active": torch.mps.current_allocated_memory(), "driver": torch.mps.driver_allocated_memory()}
    return {}
