"""What a magic puts on the page: the live view of its result, and a plain one that outlives the kernel."""

from __future__ import annotations

from typing import get_args

from .analysis import Analysis
from .capture.trace_result import Trace
from .parity.report import ParityReport
from .session import Port
from .types import GradientGraph
from .types.health import HealthReport
from .types.memory import MemoryReport

#: What the magics give, and the page shows as a live view.
Result = Analysis | GradientGraph | Port | Trace | ParityReport | HealthReport | MemoryReport
RESULTS: tuple[type, ...] = get_args(Result)


def page_outputs(result: Result) -> list[tuple[dict, dict]]:
    """``(data, metadata)`` of what to put on the page: live views, and plain ones that outlive the kernel."""
    if isinstance(result, Port):
        from .widgets.port import port_outputs

        return port_outputs(result.summary)
    if isinstance(result, ParityReport):
        from .widgets.parity import parity_outputs

        return parity_outputs(result.data)
    if isinstance(result, GradientGraph):
        from .widgets.autograd import AutogradWidget

        return AutogradWidget(result).outputs()
    if isinstance(result, Trace):
        from .widgets.trace import TraceWidget

        return TraceWidget(result.data).outputs()
    if isinstance(result, HealthReport):
        from .widgets.health import HealthWidget

        return HealthWidget(result).outputs()
    if isinstance(result, MemoryReport):
        from .widgets.memory import MemoryWidget

        return MemoryWidget(result).outputs()
    from .widgets.tree import TreeWidget

    return TreeWidget(result.report).outputs()
