"""The autograd graph as plain values: what torch built, what each step of the backward pass
did, and MLX's graph and gradients beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import SourceLocation, TensorFacts, from_json, to_json
from .tables import data_frame


@dataclass(frozen=True, slots=True)
class TensorValue:
    """What a tensor holds, as far as it is shown: every number of a small one, a summary of a
    larger one. Complex numbers are in ``numbers`` as real, imaginary, real, …"""

    shape: tuple[int, ...]
    dtype: str
    numbers: tuple[float, ...] | None = None  # in row-major order; None: too many to show
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    norm: float | None = None
    nonfinite: int = 0  # NaN and Inf
    layout: str = "strided"


@dataclass(frozen=True, slots=True)
class SavedTensor:
    """A tensor that torch keeps for the backward pass."""

    name: str  # torch's argument name: "self", "other", "result"
    facts: TensorFacts | None = None
    version: int | None = None
    value: TensorValue | None = None
    producer: int | None = None  # index of the node that made it
    problem: str = ""  # freed by backward(), or written to in place


@dataclass(frozen=True, slots=True)
class GradientEdge:
    """One way that gradient takes, from the operation that used a value to what made it.

    ``local`` is the local derivative: a number for scalars (``form="number"``), the diagonal of
    the Jacobian for an elementwise operation (``"diagonal"``), the Jacobian itself, rows by output,
    columns by input (``"matrix"``), or None where it is too large to show.
    """

    consumer: int  # index of the node that sends
    position: int  # which of its inputs
    producer: int  # index of the node that receives
    output: int  # which of the receiver's outputs
    contribution: TensorValue | None = None
    local: TensorValue | None = None
    form: str = ""
    formula: str = ""  # "b" for ∂(a·b)/∂a
    name: str = ""  # what the user calls the value that it leads to


@dataclass(frozen=True, slots=True)
class GradientNode:
    """A node of torch's graph. ``index`` counts in the order of the backward pass: 0 runs first."""

    index: int
    kind: str  # "operation" | "leaf" | "custom function"
    name: str  # torch's: "MulBackward0", "AccumulateGrad"
    operation: str  # "torch.mul"; empty for a leaf
    label: str = ""  # the user's name of its result ("a, b" for two), or the parameter's name
    expression: str = ""  # "a · b"
    module: str | None = None  # path of the module that ran it; None: not known
    module_measured: bool = False  # False: concluded from the parameters around it
    source: str = ""
    location: SourceLocation | None = None
    outputs: tuple[TensorFacts, ...] = ()
    value: TensorValue | None = None  # of the first result, where torch kept it or the user holds it
    incoming: tuple[TensorValue | None, ...] = ()  # gradient of each output, all contributions added
    existing: TensorValue | None = None  # what a leaf's .grad held already
    saved: tuple[SavedTensor, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)  # what else torch saved: "exponent": "2"
    hooks: int = 0
    adds_up: bool | None = None  # the contributions' sum equals ``incoming``; None: not measured
    problem: str = ""

    @property
    def gradient(self) -> TensorValue | None:
        """The gradient of the first output."""
        return self.incoming[0] if self.incoming else None


@dataclass(frozen=True, slots=True)
class MLXOperation:
    """A primitive of MLX's lazily built graph."""

    name: str  # "Multiply"
    inputs: tuple[str, ...]  # names of arrays
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MLXArray:
    """A value of MLX's graph; ``label`` is a parameter's or the user's name."""

    name: str
    label: str = ""
    shape: tuple[int, ...] | None = None
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class GradientComparison:
    """One parameter's gradient in both frameworks, in torch's axes. ``axes`` is the receipt:
    how torch's axes became MLX's."""

    name: str
    mlx_name: str
    axes: str = ""
    shape: tuple[int, ...] = ()
    torch: TensorValue | None = None
    mlx: TensorValue | None = None
    max_difference: float | None = None
    allowed: float | None = None
    ok: bool | None = None  # None: could not be compared, or too small to tell
    message: str = ""


@dataclass(frozen=True, slots=True)
class MLXGradients:
    """MLX's side: the graph that it builds lazily, and what its functional transform gives."""

    how: str  # where the computation came from
    function: str = ""  # "value_and_grad(loss)(a, b)"
    source: str = ""  # of the function, where it was written for this graph
    torch_value: TensorValue | None = None
    value: TensorValue | None = None
    value_ok: bool | None = None
    value_is: str = ""  # what ``value`` is, where it is not the loss itself
    operations: tuple[MLXOperation, ...] = ()
    arrays: tuple[MLXArray, ...] = ()
    dot: str = ""  # what mx.export_to_dot wrote
    comparisons: tuple[GradientComparison, ...] = ()
    problem: str = ""  # why there is no MLX side
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool | None:
        """True when every gradient that was compared is equal, and the value too; None when no gradient
        could be told apart from zero."""
        verdicts = [c.ok for c in self.comparisons if c.ok is not None]
        if self.value_ok is False:
            return False
        return all(verdicts) if verdicts else None


@dataclass(frozen=True, slots=True)
class GradientGraph:
    """The graph behind one or more losses, the backward pass step by step, and MLX's side.

    Step ``i`` of the backward pass is ``nodes[i]``. Shown as text, HTML and a live view.
    """

    nodes: tuple[GradientNode, ...]
    edges: tuple[GradientEdge, ...]
    roots: tuple[int, ...]  # nodes that the backward pass starts from
    measured: bool = True  # False: torch could not run the backward pass, see ``problem``
    freed: bool = False  # by an earlier backward()
    problem: str = ""
    reduction: str = ""  # what is differentiated, where that was not the user's own scalar
    mlx: MLXGradients | None = None
    port: str = ""  # name of the port beside it
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)

    def contributions(self, index: int, output: int = 0) -> tuple[GradientEdge, ...]:
        """What arrives at a node's output, in the order in which the values were used."""
        found = [edge for edge in self.edges if edge.producer == index and edge.output == output]
        return tuple(sorted(found, key=lambda edge: (-edge.consumer, edge.position)))

    def sends(self, index: int) -> tuple[GradientEdge, ...]:
        """What a node sends on, by input."""
        return tuple(sorted((e for e in self.edges if e.consumer == index), key=lambda edge: edge.position))

    def gradients(self) -> dict[str, TensorValue]:
        """The measured gradient of every leaf that has a name."""
        return {node.label: node.gradient for node in self.nodes
                if node.kind == "leaf" and node.label and node.gradient is not None}

    def to_json(self, indent: int | None = None) -> str:
        """As JSON text; :meth:`from_json` reads it back equal."""
        return to_json(self, indent)

    @classmethod
    def from_json(cls, text: str) -> GradientGraph:
        """The graph that :meth:`to_json` wrote."""
        return from_json(cls, text)

    def to_pandas(self) -> Any:
        """A row for each step of the backward pass. Raises :class:`~t2m_notebook.errors.MissingPackage` where pandas is
        not installed."""
        from t2m_notebook.render.autograd import Words, value_text
        words = Words(self)
        return data_frame([{
            "step": node.index + 1, "name": node.label, "operation": node.operation, "expression": node.expression,
            "module": node.module, "shape": node.outputs[0].shape if node.outputs else None,
            "dtype": node.outputs[0].dtype if node.outputs else "",
            "value": value_text(node.value) if node.value is not None else "",
            "gradient": value_text(node.gradient) if node.gradient is not None else "",
            "adds": words.sums(node.index), "source": node.source,
            "line": node.location.text if node.location else "",
        } for node in self.nodes])

    def to_dot(self) -> str:
        """Torch's graph in graphviz's language."""
        from t2m_notebook.render.autograd import graph_dot
        return graph_dot(self)

    def to_svg(self) -> str:
        """Torch's graph as one static SVG."""
        from t2m_notebook.render.autograd_svg import graph_svg
        return graph_svg(self)

    def __str__(self) -> str:
        from t2m_notebook.render.autograd import graph_text
        return graph_text(self)

    def __repr__(self) -> str:
        operations = sum(node.kind != "leaf" for node in self.nodes)
        return f"GradientGraph({operations} operations, {len(self.nodes) - operations} leaves)"

    def _repr_html_(self) -> str:
        from t2m_notebook.render.autograd_svg import graph_html
        return graph_html(self)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
