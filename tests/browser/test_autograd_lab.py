"""%t2m_autograd in JupyterLab: the classic example, a real model beside its port, and no kernel at all."""

from __future__ import annotations

import nbformat
import pytest

from tests.browser.harness import (
    ARTEFACTS,
    cell,
    notebook,
    open_notebook,
    run_cell,
    save_notebook,
    screenshot,
    set_theme,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "%load_ext t2m_notebook\nimport torch\nfrom torch import nn",
    "a = torch.tensor(2., requires_grad=True)\nb = torch.tensor(3., requires_grad=True)\n"
    "c = a * b\nd = a + b\ne = c * d\nL = e**2",
    "%t2m_autograd L",
    "layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)\n"
    "model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()\nx = torch.randn(2, 5, 16)\n"
    "p = %t2m_port model x --no-vary --no-cells",
    "loss = (model(x) * torch.randn(2, 5, 16)).sum()\n%t2m_autograd loss p",
    "%t2m_autograd loss.item()",
]


def test_stepping_in_a_notebook(server, page) -> None:
    url, folder = server
    path = notebook(folder / "autograd.ipynb", CELLS)
    open_notebook(page, url, path.name)
    for index in range(3):
        run_cell(page, index)
    view = cell(page, 2).locator(".t2m-autograd")
    view.locator(".t2m-box").first.wait_for()
    page.wait_for_timeout(2500)  # until the static view would have shown itself
    assert not cell(page, 2).locator(".t2m-static").first.is_visible()  # the live view takes its place
    for _ in range(3):
        view.get_by_role("button", name="one step on").click()
    text = view.inner_text()
    assert "step 4 of 6" in text and "sends 900 to a and 600 to b, where they add" in text
    assert "value_and_grad(loss)(a, b) → (900, (1260, 960)) ✓" in text
    assert {"900 + 360 = 1260", "600 + 360 = 960"} <= set(view.locator(".t2m-gradient").all_text_contents())
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(view, f"autograd_lab_classic_{theme}")

    set_theme(page, "light")
    run_cell(page, 3)
    run_cell(page, 4)
    real = cell(page, 4).locator(".t2m-autograd")
    real.locator(".t2m-box").first.wait_for()
    assert "✓ gradients equal in MLX" in real.inner_text()
    before = int(real.get_attribute("data-boxes"))
    real.locator(".t2m-group").first.click()
    page.wait_for_function(
        "before => Number([...document.querySelectorAll('.t2m-autograd')].at(-1).dataset.boxes) > before", arg=before)
    page.wait_for_timeout(500)  # graphviz's layout
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(real, f"autograd_lab_model_{theme}")

    with pytest.raises(RuntimeError, match="A Python number"):
        run_cell(page, 5)
    save_notebook(page)
    page.wait_for_timeout(500)
    saved = nbformat.read(path, 4)
    html = "".join(output.get("data", {}).get("text/html", "") for output in saved.cells[2].outputs)
    assert "900 + 360 = 1260" in html and "<svg" in html  # what nbconvert shows
    (ARTEFACTS / "autograd_static.html").write_text(f"<!doctype html><meta charset='utf-8'>{html}")
