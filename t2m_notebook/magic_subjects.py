"""What a magic is about, read from the words of its line: a model with its inputs, a port, either, or a loss."""

from __future__ import annotations

import difflib
from typing import Any

from torch import nn

from .errors import BadExample, NotAPort
from .magic_line import Call, described, model_call, value_of
from .open_ports import OpenPorts
from .session import Port

MODEL, PORT = "MODEL [INPUT ...] [NAME=INPUT ...]", "[PORT]"
LOSS = "LOSS [PORT]"
MODEL_OR_PORT = "PORT | MODEL [INPUT ...] [NAME=INPUT ...]"


def subject_call(subject: str, name: str, words: list[str], names: dict[str, Any], ports: OpenPorts) -> Call:
    """What the ``words`` of the magic ``name`` mean, one whose ``subject`` is :data:`MODEL`, :data:`PORT`,
    :data:`MODEL_OR_PORT` or :data:`LOSS`. Raises a :class:`~t2m_notebook.errors.T2MError`."""
    if subject == MODEL:
        return model_call(name, words, names)
    return {PORT: port_call, LOSS: loss_call, MODEL_OR_PORT: port_or_model_call}[subject](name, words, names, ports)


def port_call(name: str, words: list[str], names: dict[str, Any], ports: OpenPorts) -> Call:
    """The port that ``words`` name: a variable or expression, a port's name, or the last one."""
    if len(words) > 1:
        raise BadExample(f"%{name} takes one port; {words[1]} is one word too many.")
    if not words:
        if ports.last is None:
            raise NotAPort(f"There is no port yet. Make one: %t2m_port model x, then %{name}.")
        return Call(ports.last)
    known = words[0].strip("'\"")
    if known in ports and not isinstance(names.get(words[0]), Port):
        return Call(ports[known])
    value = value_of(words[0], names)
    if not isinstance(value, Port):
        near = difflib.get_close_matches(words[0], ports.names(), n=1)
        hint = f" Did you mean {near[0]}?" if near else " p = %t2m_port model x makes one."
        raise NotAPort(f"{words[0]} is {described(value)}, not a port.{hint}")
    return Call(value)


def port_or_model_call(name: str, words: list[str], names: dict[str, Any], ports: OpenPorts) -> Call:
    """A port, or a model of torch or MLX with its inputs; without a word the last port."""
    is_port = len(words) == 1 and (isinstance(names.get(words[0]), Port) or (
        words[0] not in names and words[0].strip("'\"") in ports))
    if is_port or not words and ports.last is not None:
        return port_call(name, words, names, ports)
    value = value_of(words[0], names) if words and not words[0].startswith("*") and "=" not in words[0] else None
    if any(cls.__module__.startswith("mlx.nn.") for cls in type(value).__mro__):
        call = model_call(name, ["model", *words[1:]], {**names, "model": nn.Identity()})
        call.subject = value
        return call
    return port_call(name, words, names, ports) if isinstance(value, Port) else model_call(name, words, names)


def loss_call(name: str, words: list[str], names: dict[str, Any], ports: OpenPorts) -> Call:
    """The loss that ``words`` name, and the port that may follow it; or a model and its inputs."""
    if not words:
        raise BadExample(f"Say which loss: %{name} loss. %{name} --help tells more.")
    if words[0] in ports and words[0] not in names:
        return Call(None, kwargs={"port": port_call(name, words, names, ports).subject, "scopes": [names]})
    value = value_of(words[0], names)
    if isinstance(value, nn.Module):
        call = model_call(name, words, names)
        return Call(value, kwargs={"args": call.args, "kwargs": call.kwargs, "scopes": [names]})
    if isinstance(value, Port):
        return Call(None, kwargs={"port": port_call(name, words, names, ports).subject, "scopes": [names]})
    if len(words) > 2:
        raise BadExample(f"%{name} takes a loss and a port; {words[2]} is one word too many.")
    made = port_call(name, words[1:], names, ports).subject if len(words) > 1 else None
    return Call(value, kwargs={"port": made, "scopes": [names]})
