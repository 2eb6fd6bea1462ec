"""Three small real models to try things on, and ``make demo``, which does.

    t2m analyze t2m_notebook.demo:bert

The weights are random and the sizes tiny; layers, classes and code paths are those of the real models.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .torchvision_shim import declare_missing_operators

declare_missing_operators()  # before transformers imports torchvision

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

Model = tuple[nn.Module, tuple, dict[str, Any]]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a way around them."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return F.relu(x + identity)


class ResNet(nn.Module):
    """The ResNet of the paper, in as many stages as ``channels`` has numbers."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64), blocks: int = 2, classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        width = channels[0]
        for stage, wider in enumerate(channels):
            first = BasicBlock(width, wider, stride=1 if stage == 0 else 2)
            self.stages.append(nn.Sequential(first, *(BasicBlock(wider, wider) for _ in range(blocks - 1))))
            width = wider
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in self.stages:
            x = stage(x)
        x = x.mean(dim=(2, 3))
        return self.fc(x)


def resnet() -> Model:
    """A ResNet in plain torch, and one image."""
    torch.manual_seed(0)
    return ResNet().eval(), (torch.randn(1, 3, 64, 64),), {}


def bert() -> Model:
    """transformers' BERT, and two padded sentences."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(vocab_size=1000, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=128, max_position_embeddings=64)
    ids = torch.randint(5, 1000, (2, 12))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    return BertModel(config).eval(), (), {"input_ids": ids, "attention_mask": mask}


def llama() -> Model:
    """transformers' Llama with grouped-query attention, and two prompts."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=1000, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                         num_key_value_heads=2, intermediate_size=128, max_position_embeddings=64,
                         use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    return LlamaForCausalLM(config).eval(), (), {"input_ids": torch.randint(5, 1000, (2, 12))}


MODELS = {"resnet": resnet, "bert": bert, "llama": llama}


def main(argv: list[str] | None = None) -> int:
    """Analyses the three models here, then runs the quickstart notebook and writes it as HTML."""
    from rich.console import Console

    from .notebook import execute, write_html
    from .progress import terminal_progress
    from .render.tree import tree_rich
    from .session import analyze

    parser = argparse.ArgumentParser(prog="python -m t2m_notebook.demo", description=main.__doc__)
    parser.add_argument("--notebook", type=Path, default=Path("notebooks", "quickstart.ipynb"))
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for the HTML page")
    options = parser.parse_args(argv)
    if not options.notebook.is_file():
        print(f"There is no notebook {options.notebook}; run this in the project's folder.", file=sys.stderr)
        return 2
    console = Console()
    for make in MODELS.values():
        with terminal_progress(f"Making {make.__name__}") as progress:
            model, args, kwargs = make()
            analysis = analyze(model, args, kwargs, progress=progress)
        console.rule(f"{make.__name__}: {make.__doc__}", align="left")
        console.print(tree_rich(analysis.report, depth=3))
        console.print()
    with terminal_progress(f"Starting a kernel for {options.notebook.name}") as progress:
        page = write_html(execute(options.notebook, progress=progress),
                          options.output / f"{options.notebook.stem}.html")
    print(f"The quickstart notebook, executed: {page.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
