"""A kernel's side of the front-end's contract without torch or MLX, for tests of the front-end alone.

``%load_ext tests.browser.fake_bridge`` registers the comm target; :func:`port` says what ``%t2m_port`` would.
Verdicts follow rules that a test can see in the cell: a syntax error is an error on its line, a line with
``WRONG`` diverges there and has a fix that writes ``RIGHT``, ``CRASH`` stops the worker, everything else is equal.
"""

from __future__ import annotations

import ast
import hashlib
import threading
import time
from types import SimpleNamespace
from typing import Any

from comm import get_comm_manager
from IPython import get_ipython

CLASSES = ("Block", "Net")
FAKE = SimpleNamespace(comms=[], received=[], ports={}, sources={}, delay=0.0, kept=[])


def load_ipython_extension(shell) -> None:
    """Registers the comm target and opens a comm to every front-end that listens."""
    from comm import create_comm

    get_comm_manager().register_target("t2m_notebook", _opened)
    shell.register_magic_function(_cell_magic, "cell", "t2m_cell")
    comm = create_comm(target_name="t2m_notebook", data={})
    _listen(comm)


def port(name: str = "net", *, version: int = 0, classes: tuple[str, ...] = CLASSES) -> None:
    """Sends the generated cells and the state of a port; ``version`` changes the generated text."""
    FAKE.ports[name] = {one: _source(one, version) for one in classes}
    parent = get_ipython().kernel.get_parent("shell")
    cells = [{"class": one, "source": text,
              "generated": hashlib.sha256(text.encode()).hexdigest()}
             for one, source in FAKE.ports[name].items() for text in [f"%%t2m_cell {one}\n{source}".rstrip()]]
    _tell({"type": "cells", "port": name, "execution": {"cell_id": parent.get("metadata", {}).get("cellId", "")},
           "cells": cells, "assembly": f"model = t2m.assemble({name!r})  # version {version}"})
    _tell(_state(name))


def _source(name: str, version: int) -> str:
    return (f"class {name}(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            f"        self.norm = nn.BatchNorm(8, eps=1e-0{version + 3})\n"
            "\n"
            "    def __call__(self, x):\n"
            "        return nn.relu(self.norm(x))\n")


def _cell_magic(line: str, cell: str) -> None:
    """Run of a cell, as text alone."""
    print(_verdict(line.split()[0], cell)["state"])


def _opened(comm, message) -> None:
    _listen(comm)


def _listen(comm) -> None:
    FAKE.comms.append(comm)
    comm.on_msg(lambda message: _answer(comm, message["content"]["data"]))
    comm.on_close(lambda message: FAKE.comms.remove(comm))


def _tell(message: dict[str, Any]) -> None:
    for comm in FAKE.comms:
        comm.send(message)


def _answer(comm, message: dict[str, Any]) -> None:
    FAKE.received.append(message)
    kind = message["type"]
    if kind == "hello":
        comm.send({"type": "hello", "version": 1, "ports": list(FAKE.ports), "last": next(iter(FAKE.ports), "")})
        for name in FAKE.ports:
            comm.send(_state(name))
    elif kind == "check":
        threading.Thread(target=_check, args=(comm, message)).start()
    elif kind in ("generated", "torch_source"):
        text = FAKE.ports[message["port"] or next(iter(FAKE.ports))][message["class"]]
        if kind == "torch_source":
            text = text.replace("__call__", "forward").replace("nn.BatchNorm", "nn.BatchNorm2d")
        comm.send({"type": kind, "request": message["request"], "text": text})
    elif kind == "kept":
        FAKE.kept.append(message["classes"])


def _check(comm, message: dict[str, Any]) -> None:
    cell, sequence = message["cell"], message["seq"]
    name = message["port"] or next(iter(FAKE.ports))
    comm.send({"type": "checking", "cell": cell, "seq": sequence})
    time.sleep(FAKE.delay)
    FAKE.sources[name, message["class"]] = message["source"]
    comm.send({"type": "result", "cell": cell, "seq": sequence, "port": name, "class": message["class"],
               **_verdict(message["class"], message["source"])})
    comm.send(_state(name))


def _verdict(name: str, source: str) -> dict[str, Any]:
    common = {"glyph": "✓", "text": "2.6e-07 of 1.4e-05 allowed", "difference": 2.6e-07, "allowed": 1.4e-05,
              "instances": 6, "compared": 6, "milliseconds": 8.2, "message": "", "line": None, "marks": [],
              "fixes": [], "weights": _weights(name, source)}
    try:
        ast.parse(source)
    except SyntaxError as error:
        return {**common, "state": "error", "glyph": "?", "text": "", "difference": None, "line": error.lineno,
                "message": error.msg, "marks": [_mark(error.lineno, 0, 0, error.msg)], "weights": []}
    for number, line in enumerate(source.splitlines(), 1):
        if "CRASH" in line:
            return {**common, "state": "stopped", "glyph": "!", "text": "", "difference": None, "line": number,
                    "message": "The worker was ended by the operating system (signal 11); it is back."}
        if "WRONG" in line:
            column = len(line) - len(line.lstrip())
            return {**common, "state": "diverges", "glyph": "✗", "text": "3.8e-02 of 1.4e-05 allowed",
                    "difference": 3.8e-02, "line": number,
                    "message": "torch 1×256×28×28 · mlx 1×28×28×256, from here on the values differ.",
                    "marks": [_mark(number, column, len(line), "values part here: max|Δ| 3.8e-02")],
                    "fixes": [{"kind": "epsilon", "message": "eps is 1e-05 here and 1e-03 in torch", "line": number,
                               "end_line": number, "before": line, "after": line.replace("WRONG", "RIGHT"),
                               "difference": 2.6e-07}]}
    return {**common, "state": "proven"}


def _mark(line: int, column: int, end: int, message: str) -> dict[str, Any]:
    return {"line": line, "end_line": line, "column": column, "end_column": end, "severity": "error",
            "message": message}


def _weights(name: str, source: str) -> list[dict[str, Any]]:
    path = "block" if name == "Block" else "norm"
    row = {"torch_name": f"{path}.norm.weight", "torch_shape": [8], "mlx_name": f"{path}.norm.weight",
           "mlx_shape": [8], "axes": [0], "dtype": "float32", "state": "matched"}
    conv = {"torch_name": f"{path}.conv.weight", "torch_shape": [16, 8, 3, 3], "mlx_name": f"{path}.conv.weight",
            "mlx_shape": [16, 3, 3, 8], "axes": [0, 2, 3, 1], "dtype": "float32", "state": "matched"}
    if "self.norm" not in source:
        row = {**row, "mlx_name": "", "mlx_shape": [], "state": "missing"}
    return [conv, row]


def _state(name: str) -> dict[str, Any]:
    status = {}
    for one in FAKE.ports[name]:
        state = _verdict(one, FAKE.sources.get((name, one), ""))["state"] if (name, one) in FAKE.sources else ""
        status[one] = {"proven": "PROVEN", "diverges": "DIVERGES", "error": "MISSING"}.get(state, "MAPPED")

    def node(path: str, class_name: str, state: str, children=(), **more) -> dict[str, Any]:
        return {"name": path.rsplit(".", 1)[-1], "path": path, "class_name": class_name, "status": state,
                "outputs": [{"shape": [1, 28, 28, 256], "dtype": "float32"}], "children": list(children), **more}

    block, net = status.get("Block", "PROVEN"), status.get("Net", "MAPPED")
    difference = {"max_difference": 3.8e-02} if block == "DIVERGES" else {"max_difference": 2.6e-07}
    blocks = [node(f"blocks.{k}", "Block", block, [node(f"blocks.{k}.norm", "BatchNorm2d", block, **difference)],
                   **difference) for k in range(6)]
    root = node("", "Net", "DIVERGES" if block == "DIVERGES" else net,
                [node("stem", "Conv2d", "PROVEN", description="3, 64, kernel_size=(7, 7)", max_difference=2.4e-07),
                 node("blocks", "Sequential", block, blocks)])
    counts: dict[str, int] = {}
    stack = [root]
    while stack:
        one = stack.pop()
        counts[one["status"]] = counts.get(one["status"], 0) + 1
        stack.extend(one["children"])
    total, proven = sum(counts.values()), counts.get("PROVEN", 0)
    red = {"path": "blocks.0.norm", "class": "Block"} if block == "DIVERGES" else None
    weights = [row for one in FAKE.ports[name]
               for row in _weights(one, FAKE.sources.get((name, one), "self.norm"))]
    return {"type": "state", "port": name, "tree": root, "counts": counts, "summary": f"{proven}/{total} proven",
            "ladder": [{"rung": "weights", "status": "PROVEN", "text": "4 of 4"},
                       {"rung": "module by module", "status": block, "text": "15 · 3.1e-07"},
                       {"rung": "end to end", "status": "PROVEN" if block == "PROVEN" else "DIVERGES",
                        "text": "2.2e-06"},
                       {"rung": "other batch", "status": "", "text": "waits"}],
            "weights": weights, "first_red": red, "stale": [],
            "classes": {"Block": {"paths": [f"blocks.{k}" for k in range(6)], "status": block, "edited": False},
                        "Net": {"paths": [""], "status": net, "edited": False}}}
