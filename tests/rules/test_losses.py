"""Losses as functions and layers: every reduction, class weights, ignored targets, gradients at the edges."""

import functools

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import replay
from tests.rules.samples import run_module, run_op

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice on its own old arguments and kernels

FUNCTIONS = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
             "binary_cross_entropy_with_logits", "cross_entropy", "nll_loss", "kl_div", "poisson_nll_loss",
             "gaussian_nll_loss", "hinge_embedding_loss", "margin_ranking_loss", "cosine_embedding_loss",
             "triplet_margin_loss", "triplet_margin_with_distance_loss", "multi_margin_loss", "multilabel_margin_loss",
             "multilabel_soft_margin_loss", "soft_margin_loss", "ctc_loss"]
LAYERS = ["CosineEmbeddingLoss", "L1Loss", "SmoothL1Loss", "KLDivLoss", "MSELoss", "MarginRankingLoss",
          "MultiLabelMarginLoss", "MultiMarginLoss", "SoftMarginLoss", "MultiLabelSoftMarginLoss", "NLLLoss",
          "GaussianNLLLoss", "PoissonNLLLoss", "HingeEmbeddingLoss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss",
          "CrossEntropyLoss", "CTCLoss"]
#: Not compared in half precision: these samples sum numbers of both signs to almost nothing.
CANCELLING = {"nll_loss"}
NOT_IN_HALF = {"multi_margin_loss", "multilabel_margin_loss", "ctc_loss"}  # torch has no kernel


@pytest.mark.parametrize("orders", ["standard", "channels last"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name, orders):
    tally = run_op(f"nn.functional.{name}", orders=orders, seconds=2)
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in CANCELLING | NOT_IN_HALF])
def test_function_in_half_precision(name):
    tally = run_op(f"nn.functional.{name}", torch.bfloat16, seconds=1, gradients=False)
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("orders", ["standard", "channels last"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, orders):
    tally = run_module(f"nn.{name}", orders=orders)
    assert tally.verdict == "matched", tally.line()


LOGITS = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([[0, 1, 4], [-100, 2, 3], [1, 1, -100], [4, 0, 2]])
WEIGHT = torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("target", ["classes", "classes, others ignored", "probabilities"])
@pytest.mark.parametrize("orders", ["standard", "channels last"])
def test_cross_entropy(target, weight, smoothing, reduction, orders):
    ignored = 2 if "others" in target else -100
    given = LOGITS.softmax(1) if target == "probabilities" else CLASSES.clamp(min=0) if ignored == 2 else CLASSES
    module = nn.CrossEntropyLoss(weight, ignore_index=ignored, label_smoothing=smoothing, reduction=reduction)
    outcome = replay(module, (LOGITS.clone().requires_grad_(), given), orders=orders,
                     also=((LOGITS[:1], given[:1]),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_cross_entropy_of_one_sample_and_of_nothing_that_counts():
    assert replay(lambda x, y: F.cross_entropy(x, y), (torch.randn(5), torch.tensor(3))).kind == "matched"
    nothing = torch.full((3,), -100)
    outcome = replay(lambda x, y: F.cross_entropy(x, y), (torch.randn(3, 5, requires_grad=True), nothing))
    assert outcome.kind == "matched", outcome


def test_language_model_loss_at_another_length():
    def loss(logits, labels):
        return F.cross_entropy(logits[:, :-1].reshape(-1, 7), labels[:, 1:].reshape(-1))

    given = [(torch.randn(2, n, 7), torch.randint(0, 7, (2, n))) for n in (5, 9)]
    assert replay(loss, given[0], also=(given[1],)).kind == "matched"


@pytest.mark.parametrize("layer, arguments", [
    (nn.BCELoss(torch.rand(3)), (torch.rand(4, 3), torch.rand(4, 3))),
    (nn.BCEWithLogitsLoss(torch.rand(3), pos_weight=torch.rand(3) + 1), (torch.randn(4, 3), torch.rand(4, 3))),
    (nn.NLLLoss(WEIGHT), (LOGITS.log_softmax(1), CLASSES)),
    (nn.MultiMarginLoss(2, 0.5, WEIGHT), (torch.randn(3, 5), torch.tensor([0, 4, 2]))),
    (nn.MultiLabelSoftMarginLoss(WEIGHT), (torch.randn(3, 5), torch.rand(3, 5))),
    (nn.SmoothL1Loss(beta=0.0), (torch.randn(3, 5), torch.rand(3, 5))),
    (nn.HuberLoss(delta=0.3, reduction="sum"), (torch.randn(3, 5), torch.rand(3, 5))),
    (nn.PoissonNLLLoss(log_input=False, full=True, eps=1e-4), (torch.rand(3, 5), torch.rand(3, 5) * 9)),
    (nn.TripletMarginLoss(swap=True, p=3), tuple(torch.randn(3, 3, 5))),
    (nn.TripletMarginWithDistanceLoss(swap=True), tuple(torch.randn(3, 3, 5))),
    (nn.TripletMarginWithDistanceLoss(distance_function=nn.PairwiseDistance(1)), tuple(torch.randn(3, 3, 5))),
    (nn.LinearCrossEntropyLoss(4, 5, bias=True, weight=WEIGHT, label_smoothing=0.1),
     (torch.randn(3, 4), torch.tensor([0, 4, 2]))),
    (nn.LinearCrossEntropyLoss(4, 5, out_features=(3,)), (torch.randn(4, 4), CLASSES)),
])
def test_layer_options(layer, arguments):
    arguments = tuple(a.clone().requires_grad_(a.is_floating_point() and index == 0)
                      for index, a in enumerate(arguments))
    outcome = replay(layer, arguments)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_class_weights_are_not_trained():
    layer = blocks.Loss(blocks.cross_entropy, weight=mx.ones(5), reduction="sum")
    assert not layer.trainable_parameters() and "weight" in layer.parameters()


@pytest.mark.parametrize("layer", [
    nn.MSELoss(), nn.HuberLoss(delta=2.0), nn.KLDivLoss(log_target=True), nn.CrossEntropyLoss(label_smoothing=0.1),
    nn.BCELoss(), nn.CTCLoss(zero_infinity=True), nn.TripletMarginWithDistanceLoss(), nn.GaussianNLLLoss(full=True)])
def test_layer_in_a_list_of_layers_can_be_built(layer):
    import mlx.nn

    constructor = str(emit_layer(layer).layer.constructor)
    names = {"mx": mx, "nn": mlx.nn, **{name: getattr(blocks, name) for name in dir(blocks)}}
    assert isinstance(eval(constructor, names), blocks.Loss)


def test_old_reduction_arguments():
    x, y = torch.randn(3, 5), torch.randn(3, 5)
    for old in ({"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}):
        assert replay(lambda x, y, old=old: F.mse_loss(x, y, **old), (x, y)).kind == "matched"


def against_half(loss, reduction, x, weight):
    return loss(x, x * 0.5, reduction=reduction, weight=weight)


def test_weights_and_broadcasting_of_elementwise_losses():
    x, y, weight = torch.randn(3, 5, requires_grad=True), torch.randn(1, 5), torch.rand(3, 5)
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss):
        for reduction in ("mean", "sum", "none"):
            outcome = replay(functools.partial(against_half, loss, reduction), (x, weight))
            assert outcome.kind == "matched", outcome
        assert replay(lambda x, y, loss=loss: loss(x, y), (x, y)).kind == "matched"


def test_plain_losses_are_those_of_mlx():
    x, y = torch.randn(3, 5), torch.rand(3, 5)
    for call, name in ((lambda x, y: F.mse_loss(x, y), "nn.losses.mse_loss(v0, v1, reduction='mean')"),
                       (lambda x, y: F.huber_loss(x, y, delta=2.0), "nn.losses.huber_loss(v0, v1, delta=2.0, "),
                       (lambda x, y: F.binary_cross_entropy_with_logits(x, y),
                        "nn.losses.binary_cross_entropy(v0, v1, reduction='mean')")):
        assert name in replay(call, (x, y)).source


def test_binary_cross_entropy_of_saturated_probabilities_has_a_finite_gradient():
    x = torch.tensor([0.0, 1.0, 1.0, 0.5, 1e-30], requires_grad=True)
    y = torch.tensor([0.0, 1.0, 0.3, 0.2, 0.0])
    outcome = replay(lambda x, y: F.binary_cross_entropy(x, y), (x, y))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_another_distance_is_refused_with_the_way_around():
    module = nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().sum(-1))
    outcome = replay(module, tuple(torch.randn(3, 2, 4)))
    assert outcome.kind == "refused" and "distance_function" in outcome.detail


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("form", ["padded", "one after the other", "unbatched", "impossible"])
def test_ctc(form, reduction):
    logits = torch.randn(12, 3, 5, requires_grad=True)
    targets, lengths = torch.tensor([[1, 1, 2, 3], [2, 4, 0, 0], [3, 0, 0, 0]]), torch.tensor([4, 2, 0])
    inputs = torch.tensor([12, 7, 9])
    if form == "one after the other":
        targets = torch.tensor([1, 1, 2, 3, 2, 4])
    if form == "unbatched":
        logits, targets = logits[:, 0].detach().requires_grad_(), targets[0]
        inputs, lengths = torch.tensor(12), torch.tensor(4)
    if form == "impossible":
        inputs = torch.tensor([3, 7, 9])

    def call(x, t, i, n):
        return F.ctc_loss(x.log_softmax(-1), t, i, n, reduction=reduction, zero_infinity=form == "impossible")

    outcome = replay(call, (logits, targets, inputs, lengths))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_ctc_with_lengths_as_numbers_and_another_blank():
    def call(x, t):
        return F.ctc_loss(x.log_softmax(-1), t, (12, 7), (2, 3), blank=4)

    outcome = replay(call, (torch.randn(12, 2, 5, requires_grad=True), torch.tensor([[1, 1, 0], [2, 3, 0]])))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("options", [{}, {"div_value": 2.0, "head_bias": True}])
@pytest.mark.parametrize("batch", [(6,), ()])
def test_adaptive_log_softmax(options, batch):
    torch.manual_seed(0)
    module = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 12], **options)
    outcome = replay(module, (torch.randn(*batch, 16, requires_grad=True), torch.randint(0, 20, batch)))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_linear_cross_entropy_function():
    outcome = replay(lambda x, w, y, b: F.linear_cross_entropy(x, w, y, linear_bias=b),
                     (torch.randn(3, 4), torch.randn(5, 4), torch.tensor([0, 4, -100]), torch.randn(5)))
    assert outcome.kind == "matched", outcome


def test_blocks_compiled():
    logits, targets = mx.random.normal((4, 5)), mx.array([0, 4, -100, 2])

    def loss(x):
        return blocks.cross_entropy(x, targets, weight=mx.arange(5.0), label_smoothing=0.1)

    assert mx.allclose(mx.compile(mx.grad(loss))(logits), mx.grad(loss)(logits), atol=1e-6).item()
    log_probs = mx.random.normal((9, 2, 5))

    def ctc(x):
        return blocks.ctc_loss(x, mx.array([[1, 2], [3, 3]]), mx.array([9, 8]), mx.array([2, 2]))

    assert mx.allclose(mx.compile(mx.grad(ctc))(log_probs), mx.grad(ctc)(log_probs), atol=1e-6).item()
