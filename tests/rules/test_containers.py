"""Every public class of torch.nn has a rule, or a word on what becomes of it."""

import pytest
import torch
from torch import nn

from t2m_notebook.capture.leaves import is_leaf
from t2m_notebook.errors import Refused
from t2m_notebook.rules import emit_layer, layer_rule
from t2m_notebook.rules.containers import CONTAINERS
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice on its own old arguments and kernels


def public_classes():
    return [value for name, value in vars(nn).items() if not name.startswith("_") and isinstance(value, type)
            and issubclass(value, nn.Module)]


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_class_is_accounted_for(cls):
    assert (layer_rule(cls) is not None) != (cls in CONTAINERS)


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(3, 3)), nn.Transformer(4, 2, 1, 1, 8, batch_first=True),
                                    nn.DataParallel(nn.Linear(3, 3))])
def test_containers_are_opened(module):
    assert not is_leaf(module)


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(2)])
        self.named = nn.ParameterDict({"shift": nn.Parameter(torch.randn(3))})
        self.layers = nn.ModuleDict({"first": nn.Linear(3, 3)})
        self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.ReLU())])

    def forward(self, x):
        x = self.layers["first"](x) * self.scales[0] + self.scales[1] * self.named["shift"]
        for block in self.blocks:
            x = block(x)
        return x


def test_parameters_and_layers_in_containers():
    outcome = replay(Lists(), (torch.randn(2, 3),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_data_parallel_on_one_processor_is_its_module():
    assert replay(nn.DataParallel(nn.Linear(3, 3)), (torch.randn(2, 3),)).kind == "matched"


def test_lazy_layers_are_refused_until_they_ran_once():
    lazy = nn.LazyLinear(4)
    with pytest.raises(Refused, match="run the model once"):
        emit_layer(lazy)
    lazy(torch.randn(2, 3))
    assert str(emit_layer(lazy).layer.constructor) == "nn.Linear(3, 4)"
