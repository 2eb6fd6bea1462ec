"""Recording -> MLX source."""

from .layout import LayoutPlan, plan_layout
from .writing import Written, write

__all__ = ["LayoutPlan", "Written", "plan_layout", "write"]
