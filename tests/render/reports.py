"""Made-up reports to render: no torch, no model, every shape of trouble a real one can have."""

from __future__ import annotations

import dataclasses

from t2m_notebook.types import (
    AnalysisReport,
    CheckpointMark,
    MissingOperation,
    ModuleNode,
    OperationNode,
    ParameterFacts,
    SourceLocation,
    Status,
    TensorFacts,
    worst,
)

PROVEN, MAPPED, PARTIAL, DIVERGES = Status.PROVEN, Status.MAPPED, Status.PARTIAL, Status.DIVERGES
REFUSED, MISSING, UNSEEN = Status.REFUSED, Status.MISSING, Status.UNSEEN

HOSTILE = ('<img src=x onerror="window.t2mHacked=1">&"\'</div></details></script>'
           '<script>window.t2mHacked=1</script>')


def at(file: str, line: int) -> SourceLocation:
    return SourceLocation(f"/home/someone/models/{file}", line, line, 8, 30)


def tensor(*shape: int, dtype: str = "float32") -> TensorFacts:
    return TensorFacts(shape, dtype)


def weight(name: str, *shape: int, kind: str = "parameter", tied_to: str | None = None) -> ParameterFacts:
    count = 1
    for size in shape:
        count *= size
    return ParameterFacts(name, tensor(*shape), 4 * count, kind, tied_to=tied_to)


def op(index, source, mlx, status=PROVEN, *, line=0, reason="", child=None, name="torch.add", out=None):
    return OperationNode(index, name, status, reason, source, at("resnet.py", line) if line else None, mlx,
                         outputs=(out,) if out else (), child=child)


def leaf(path, class_name, description="", status=PROVEN, *, parameters=(), out=None, **more):
    total = sum(p.bytes for p in parameters if p.kind == "parameter")
    more.setdefault("calls", 0 if status is UNSEEN else 1)
    return ModuleNode(path.rsplit(".", 1)[-1], path, class_name, status, description=description,
                      class_module="torch.nn.modules", parameter_count=total // 4, parameter_bytes=total,
                      parameters=tuple(parameters), outputs=(out,) if out else (), **more)


def branch(path, class_name, children, status=None, *, out=None, **more):
    more.setdefault("parameter_count", sum(c.parameter_count for c in children if c.shared_with is None))
    more.setdefault("parameter_bytes", sum(c.parameter_bytes for c in children if c.shared_with is None))
    more.setdefault("calls", 1)
    return ModuleNode(path.rsplit(".", 1)[-1] or class_name, path, class_name,
                      status if status is not None else worst(c.status for c in children),
                      outputs=(out,) if out else (), children=tuple(children), **more)


def report(root: ModuleNode, **more) -> AnalysisReport:
    nodes = list(root.walk())
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.status.value] = counts.get(node.status.value, 0) + 1
    more.setdefault("operation_count", sum(len(n.operations) for n in nodes))
    more.setdefault("coverage", 1.0)
    return AnalysisReport(root, counts, **more)


def conv(path, c_in, c_out, k, stride, out, difference=None, status=PROVEN, **more):
    padding = f", padding=({k // 2}, {k // 2})" if k > 1 else ""
    text = f"{c_in}, {c_out}, kernel_size=({k}, {k}), stride=({stride}, {stride}){padding}, bias=False"
    return leaf(path, "Conv2d", text, status, parameters=[weight("weight", c_out, c_in, k, k)],
                out=tensor(*out), max_difference=difference, inputs=(tensor(1, c_in, *out[2:]),), **more)


def norm(path, channels, out, difference=None, status=PROVEN, **more):
    text = f"{channels}, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True"
    parameters = [weight("weight", channels), weight("bias", channels),
                  weight("running_mean", channels, kind="buffer"),
                  weight("running_var", channels, kind="buffer")]
    return leaf(path, "BatchNorm2d", text, status, parameters=parameters, out=tensor(*out),
                max_difference=difference, **more)


def _bottleneck(path, c_in, width, size, *, diverges=False, difference=2.9e-7):
    out, inner = (1, 4 * width, size, size), (1, width, size, size)
    status, bad, reason = PROVEN, dict(difference=2e-7), ""
    if diverges:
        status, bad = DIVERGES, dict(difference=3.8e-2, status=DIVERGES, reason="max|Δ| 3.8e-02 of 2.1")
        reason = "parts at self.bn1(out), max|Δ| 3.8e-02 of 2.1; probably eps: 1e-05 here, 1e-03 in torch"
    operations = (
        op(0, "self.conv1(x)", f"nn.Conv2d({c_in}, {width}, 1, bias=False)", line=143, child=f"{path}.conv1"),
        op(1, "self.bn1(out)", f"nn.BatchNorm({width}, eps=1e-05)", status, line=144, child=f"{path}.bn1",
           reason="eps is 1e-05 here and 1e-03 in torch" if diverges else ""),
        op(2, "self.relu(out)", "nn.relu", line=145, child=f"{path}.relu"),
        op(3, "out += identity", "out = out + identity", line=157),
    )
    return branch(path, "Bottleneck", [
        conv(f"{path}.conv1", c_in, width, 1, 1, inner, 1.9e-7), norm(f"{path}.bn1", width, inner, **bad),
        conv(f"{path}.conv2", width, width, 3, 1, inner, 2.1e-7), norm(f"{path}.bn2", width, inner, 1.2e-7),
        conv(f"{path}.conv3", width, 4 * width, 1, 1, out, 1.7e-7), norm(f"{path}.bn3", 4 * width, out, 9e-8),
        leaf(f"{path}.relu", "ReLU", "inplace=True", out=tensor(*out), calls=3, max_difference=0.0),
    ], out=tensor(*out), operations=operations, location=at("resnet.py", 108),
        class_module="torchvision.models.resnet", inputs=(tensor(1, c_in, size, size),),
        max_difference=4.1e-2 if diverges else difference, reason=reason)


def resnet() -> AnalysisReport:
    """A ResNet-50 whose port diverges in one batch norm, with a caveat and an unused head."""
    layers, c_in = [], 64
    stages = [(3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)]
    for number, (blocks, width, size) in enumerate(stages, 1):
        path, members = f"layer{number}", []
        for index in range(blocks):
            diverges = (number, index) == (3, 0)
            members.append(_bottleneck(f"{path}.{index}", c_in, width, size, diverges=diverges))
            c_in = 4 * width
        layers.append(branch(path, "Sequential", members, out=tensor(1, c_in, size, size),
                             max_difference=max(m.max_difference for m in members)))
    first = (1, 64, 112, 112)
    root = branch("", "ResNet50", [
        conv("conv1", 3, 64, 7, 2, first, 2.4e-7), norm("bn1", 64, first, 3e-7),
        leaf("relu", "ReLU", "inplace=True", out=tensor(*first), max_difference=0.0),
        leaf("maxpool", "MaxPool2d", "kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False",
             MAPPED, out=tensor(1, 64, 56, 56)), *layers,
        leaf("avgpool", "AdaptiveAvgPool2d", "output_size=(1, 1)", PARTIAL, out=tensor(1, 2048, 1, 1),
             reason="the gradient at 0 differs from torch's", max_difference=0.0),
        leaf("fc", "Linear", "in_features=2048, out_features=1000, bias=True", out=tensor(1, 1000),
             parameters=[weight("weight", 1000, 2048), weight("bias", 1000)], max_difference=8e-7),
        branch("aux", "FCNHead", [
            leaf("aux.0", "Conv2d", "2048, 512, kernel_size=(3, 3), stride=(1, 1)", UNSEEN,
                 parameters=[weight("weight", 512, 2048, 3, 3)])], calls=0),
    ], out=tensor(1, 1000), location=at("resnet.py", 166), class_module="torchvision.models.resnet",
        max_difference=4.1e-2, inputs=(tensor(1, 3, 224, 224),), operations=(
            op(0, "self.conv1(x)", "nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)", line=268,
               child="conv1"),
            op(1, "self.layer3(x)", "self.layer3(x)", DIVERGES, line=275, child="layer3"),
            op(2, "torch.flatten(x, 1)", "mx.flatten(x, 1)", line=279, name="torch.flatten")),
        reason="layer3.0.bn1 diverges")
    return report(root, inputs=("x: 1×3×224×224 float32",), coverage=0.994, operation_count=175)


def bert() -> AnalysisReport:
    """Twelve identical layers, a tied decoder, a missing and a refused operation."""
    out = tensor(1, 128, 768)

    def linear(path, a, b, **more):
        return leaf(path, "Linear", f"in_features={a}, out_features={b}, bias=True", MAPPED,
                    parameters=[weight("weight", b, a), weight("bias", b)], out=tensor(1, 128, b), **more)

    def layer(path):
        heads = branch(f"{path}.attention", "BertAttention", [
            linear(f"{path}.attention.{n}", 768, 768) for n in ("query", "key", "value")], out=out)
        norm_text = "(768,), eps=1e-12, elementwise_affine=True"
        return branch(path, "BertLayer", [
            heads, linear(f"{path}.intermediate", 768, 3072), linear(f"{path}.output", 3072, 768),
            leaf(f"{path}.norm", "LayerNorm", norm_text, MAPPED, out=out,
                 parameters=[weight("weight", 768), weight("bias", 768)])],
            out=out, location=at("modeling_bert.py", 441), operations=(
                op(0, "self.attention(hidden_states)", "self.attention(hidden_states)", MAPPED,
                   child=f"{path}.attention"),
                op(1, "F.gelu(h)", "nn.gelu(h)", MAPPED, name="torch.nn.functional.gelu", line=455)))

    words = weight("weight", 30522, 768)
    mixer = branch("mixer", "FourierMixer", [linear("mixer.out", 768, 768)], MISSING, out=out,
                   reason="torch.fft.rfft has no rule", location=at("fnet.py", 12), operations=(
        op(0, "torch.fft.rfft(x, dim=1)", "", MISSING, name="torch.fft.rfft", line=17, reason="no rule"),
        op(1, "x.unfold(1, 3, 2)", "", REFUSED, name="torch.Tensor.unfold", line=18,
           reason="step=2: MLX has no strided view here; use a convolution"),
        op(2, "", "self.out(x)", MAPPED, line=19, child="mixer.out", name="torch.nn.Linear")))
    root = branch("", "BertForMaskedLM", [
        leaf("embeddings", "Embedding", "30522, 768, padding_idx=0", MAPPED, parameters=[words], out=out),
        branch("encoder", "BertEncoder", [branch("encoder.layer", "ModuleList", [
            layer(f"encoder.layer.{i}") for i in range(12)], calls=0)], out=out),
        mixer,
        leaf("act", "GELUActivation", "", MAPPED, out=out, shared_with="encoder.layer.0.act", calls=2),
        leaf("decoder", "Linear", "in_features=768, out_features=30522, bias=True", MAPPED,
             out=tensor(1, 128, 30522), parameters=[
                 weight("weight", 30522, 768, tied_to="embeddings.weight"), weight("bias", 30522)]),
    ], out=tensor(1, 128, 30522), reason="mixer: torch.fft.rfft has no rule")
    missing = (MissingOperation("torch.fft.rfft", MISSING, "no rule", 2, ("mixer",),
                                "torch.fft.rfft(x, dim=1)", at("fnet.py", 17)),
               MissingOperation("torch.Tensor.unfold", REFUSED, "step=2: MLX has no strided view here", 1,
                                ("mixer", "a", "b", "c", "d")))
    return report(root, missing=missing, inputs=("input_ids: 1×128 int64", "attention_mask: 1×128 int64"),
                  coverage=0.97, training=True, notes=("The mask was built inside forward.",))


def large(count: int = 10_000) -> AnalysisReport:
    """``count`` modules: blocks of eight that differ from their neighbours, so nothing folds."""
    blocks, made = [], 1
    statuses = [PROVEN, PROVEN, MAPPED, PROVEN, PARTIAL, PROVEN, PROVEN]
    while made < count:
        path = f"blocks.{len(blocks)}"
        size = 64 + len(blocks)
        inside = [leaf(f"{path}.{name}", class_name, f"in_features={size}, out_features={size}",
                       statuses[(len(blocks) + i) % 7] if i == 4 else PROVEN,
                       parameters=[weight("weight", size, size)], out=tensor(1, size),
                       max_difference=1e-7 * size)
                  for i, (name, class_name) in enumerate([
                      ("norm", "LayerNorm"), ("query", "Linear"), ("key", "Linear"), ("value", "Linear"),
                      ("mix", "Custom"), ("out", "Linear")][:min(6, max(count - made - 1, 0))])]
        blocks.append(branch(path, "Block", inside, out=tensor(1, size), operations=tuple(
            op(i, f"self.{child.name}(x)", f"self.{child.name}(x)", child.status, line=i + 10,
               child=child.path) for i, child in enumerate(inside))))
        made += 1 + len(inside)
    return report(branch("", "Large", blocks[:]))


def deep(levels: int = 1500) -> AnalysisReport:
    """One module inside another, ``levels`` deep."""
    node = leaf(".".join(["x"] * levels), "Linear", "in_features=1", MISSING, reason="no rule")
    for depth in range(levels - 1, 0, -1):
        node = branch(".".join(["x"] * depth), "Wrapper", [node])
    return report(branch("", "Deep", [node]))


def hostile() -> AnalysisReport:
    """HTML, terminal escapes, newlines and lone surrogates wherever text can be."""
    escape = "\x1b[31mred\nline\u202eevil\ud800"
    bad = leaf(HOSTILE, HOSTILE, HOSTILE, MISSING, reason=HOSTILE + escape, location=at(HOSTILE, 1),
               shared_with=HOSTILE, out=tensor(2),
               parameters=[dataclasses.replace(weight("w", 2), name=HOSTILE, tied_to=HOSTILE)],
               operations=(op(0, HOSTILE, HOSTILE, MISSING, reason=HOSTILE, name=HOSTILE),))
    bad = dataclasses.replace(bad, name=HOSTILE, path=HOSTILE)
    odd = dataclasses.replace(bad, name=escape, path=escape, class_name=escape, description=escape)
    root = branch("", HOSTILE, [bad, odd])
    return report(root, notes=(HOSTILE,), inputs=(HOSTILE,), missing=(
        MissingOperation(HOSTILE, MISSING, HOSTILE, 1, (HOSTILE,), HOSTILE, at(HOSTILE, 3)),))


def broken() -> AnalysisReport:
    """One node that can't be read, between two that can."""
    sound = [leaf(name, "Linear", "in_features=2, out_features=2", out=tensor(1, 2)) for name in ("a", "c")]
    bad = dataclasses.replace(sound[0], name="b", path="b", outputs=7, operations=None, children=3)
    return AnalysisReport(branch("", "Net", [sound[0], bad, sound[1]], PROVEN), {"PROVEN": 4}, 1.0)


def with_checkpoints():
    """A port that is being looked into: two equal blocks whose cell holds three checkpoints."""
    def block(index: int):
        path = f"blocks.{index}"
        marks = [CheckpointMark("attn.scores", path), CheckpointMark("mlp.hidden", path)]
        if index:
            marks = [CheckpointMark("attn.scores", path, "(1, 4, 8, 8) float32", "-0.5 … 1.25", "3 NaN, 1 +Inf"),
                     CheckpointMark("mlp.hidden", path, "(1, 8, 32) float32", "-0.17 … 3.2")]
        return branch(path, "Block", [leaf(f"{path}.norm", "LayerNorm", "(16,)", out=tensor(1, 8, 16))],
                      out=tensor(1, 8, 16), checkpoints=tuple(marks))
    gate = leaf("gate", "Gate", status=PARTIAL, reason="one size only", out=tensor(1, 8, 16), max_difference=2e-4,
                checkpoints=(CheckpointMark(HOSTILE, "gate"),))
    return report(branch("", "Net", [branch("blocks", "ModuleList", [block(0), block(1)]), gate],
                         out=tensor(1, 8, 16)))
