"""Classes of torch.nn that are no layers: what becomes of each in a port.

They get no layer rule on purpose: a rule would make their subclasses (a user's block that
extends ``nn.Sequential``) leaves, whose forward is not looked into.
"""

from torch import nn as torch_nn

from .registry import layer, op, refuse

#: Class -> what a port does with it, for the support table.
CONTAINERS: dict[type, str] = {
    torch_nn.Module: "a class of the port with the same name",
    torch_nn.Container: "deprecated by torch; a class of the port with the same name",
    torch_nn.Sequential: "opened: its layers are called one after the other",
    torch_nn.ModuleList: "a Python list of layers; MLX finds their weights in it",
    torch_nn.ModuleDict: "a Python dict of layers; MLX finds their weights in it",
    torch_nn.ParameterList: "a Python list of arrays; MLX finds them in it",
    torch_nn.ParameterDict: "a Python dict of arrays; MLX finds them in it",
    torch_nn.DataParallel: "opened: the module inside is called; for several machines see mx.distributed",
    torch_nn.Transformer: "opened: what runs inside is recorded",
    torch_nn.TransformerEncoder: "opened: what runs inside is recorded",
    torch_nn.TransformerEncoderLayer: "opened: what runs inside is recorded",
    torch_nn.TransformerDecoder: "opened: what runs inside is recorded",
    torch_nn.TransformerDecoderLayer: "opened: what runs inside is recorded",
    torch_nn.RNNBase: "the base class of RNN, LSTM and GRU, which have rules",
    torch_nn.RNNCellBase: "the base class of RNNCell, LSTMCell and GRUCell, which have rules",
}


@layer(torch_nn.LazyLinear)
def lazy_linear(m):
    """A lazy layer has no sizes until its first forward, which turns it into its plain class."""
    refuse("module", type(m).__name__, "run the model once on an example, then port it: the layer is an nn.Linear then")


@op("profiler._record_function_enter_new", "profiler._record_function_exit")
def profiler_range(*arguments):
    """Nothing: a name for torch's profiler (DataParallel opens one)."""
    return None
