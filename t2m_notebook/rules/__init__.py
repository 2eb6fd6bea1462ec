"""The rule book. Families register here; everything else asks here."""

from .array import Array, Order, OutputFacts, channels_last, standard
from .axes import AxisMove
from .emission import Emitted, EmittedLayer, arrays_in, bind, emit_layer, emit_layer_call, emit_op, guarded
from .expression import (
    Expr,
    Namespace,
    Size,
    SizeFloat,
    binary,
    blocks,
    compare,
    dtype_text,
    math_module,
    mlx_dtype,
    mx,
    nn,
    to_node,
    watch_comparisons,
)
from .layouts import (
    AXIS,
    CHANNELS_LAST,
    FEATURES_LAST,
    POINTWISE,
    REDUCE,
    STANDARD,
    Call,
    Layout,
    Plan,
    dims_of,
    drop,
    insert,
)
from .registry import (
    LAYERS,
    OPS,
    Layer,
    LayerRule,
    OpRule,
    caveat,
    generation,
    layer,
    layer_rule,
    load_rules,
    op,
    op_rule,
    refuse,
    rename,
    spec_name,
    unregister,
)

__all__ = [name for name in dir() if not name.startswith("_")]
