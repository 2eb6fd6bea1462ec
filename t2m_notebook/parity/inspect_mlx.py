"""A process of its own that runs a saved port under the health watch, or measures its memory. Imports MLX, never torch.

Reads one JSON request from standard input, ``{"do": "health" | "memory", "folder": …, "arguments": …, …}``, and answers
with one line of JSON on the descriptor in ``T2M_REPLY``. It ends after that: every measurement starts from nothing.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
from typing import Any


def _loaded(request: dict[str, Any]) -> tuple[Any, tuple, dict[str, Any]]:
    """The port's model and the arguments of its example."""
    import mlx.core as mx

    from t2m_notebook.inspection import checkpoints

    folder, source = request["folder"], request["source"]
    linecache.cache["model.py"] = (len(source), None, source.splitlines(True), "model.py")
    names: dict[str, Any] = {
        "__name__": "t2m_port",
        "__file__": os.path.join(folder, "model.py"),
        **checkpoints.names(),
    }
    exec(compile(source, "model.py", "exec"), names)
    model = names["load"](folder)
    example = mx.load(os.path.join(folder, "example.safetensors"))
    call = f"(lambda **given: given)({request['arguments']})"
    return model, (), eval(call, {**names, "mx": mx, "example": example})


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The report, as JSON data."""
    from t2m_notebook.types import to_data

    model, args, kwargs = _loaded(request)
    if request["do"] == "memory":
        from t2m_notebook.inspection.mlx_memory import mlx_memory

        return {"ok": True, "report": to_data(mlx_memory(model, args, kwargs, **request.get("options", {})))}
    from t2m_notebook.inspection.mlx_run import mlx_health

    return {"ok": True, "report": to_data(mlx_health(model, args, kwargs, backward=request.get("backward", False)))}


def main() -> None:
    """Answer the one request."""
    reply = os.fdopen(int(os.environ["T2M_REPLY"]), "w")
    request = json.loads(sys.stdin.readline())
    sys.stdin = open(os.devnull)
    try:
        result = answer(request)
    except BaseException as error:  # whatever the code did is told
        result = {"ok": False, "error": f"{type(error).__name__}: {str(error)[:2000]}"}
    reply.write(json.dumps(result) + "\n")
    reply.flush()


if __name__ == "__main__":
    main()
