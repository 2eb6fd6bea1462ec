"""The autograd view's script in a bare page with a stand-in for the widget model."""

from __future__ import annotations

import pytest

from t2m_notebook.widgets.autograd import AutogradWidget
from tests.browser.harness import ARTEFACTS
from tests.browser.test_tree_page import MODEL
from tests.render.test_autograd import classic, modules

pytestmark = pytest.mark.browser
SURFACE = {"light": "#fff", "dark": "#111418"}


class View:
    """An autograd view in a page, with the words a test needs."""

    def __init__(self, page, graph, theme: str = "light", before: str = "", **traits) -> None:
        self.page, self.widget = page, AutogradWidget(graph, **traits)
        names = ("data", "step", "has_dot", "twin")
        state = {name: getattr(self.widget, name) for name in names} | {"has_dot": False}
        page.set_content(f"<!doctype html><body data-theme='{theme}' style='background:{SURFACE[theme]}'>"
                         f"<div id='here'></div><script>{before}</script>")
        page.evaluate(MODEL, {"esm": self.widget._esm, "css": self.widget._css, "state": state})
        page.locator(".t2m-box").first.wait_for()

    def words(self) -> str:
        return self.page.locator(".t2m-words").inner_text()

    def box(self, name: str):
        return self.page.locator(f".t2m-box[data-box='{name}']")

    def gradient(self, name: str) -> str:
        return self.box(name).locator(".t2m-gradient").text_content()

    def press(self, *keys: str) -> None:
        self.page.locator(".t2m-autograd").focus()
        for key in keys:
            self.page.keyboard.press(key)

    def amounts(self) -> set[str]:
        return set(self.page.locator(".t2m-amount text").all_text_contents())


def test_stepping_through_the_classic_example(page) -> None:
    view = View(page, classic())
    assert view.words().startswith("step 1 of 6 · L = e²: incoming 1") and view.amounts() == {"60"}
    assert [view.gradient(name) for name in "012345"] == ["1", "60", "", "", "", ""]
    forth = page.get_by_role("button", name="one step on")
    forth.click()
    assert "sends 300 to c and 360 to d" in view.words() and view.amounts() == {"300", "360"}
    forth.click()
    assert view.gradient("4") == "… + 360" and view.gradient("5") == "… + 360"
    forth.click()
    assert "step 4 of 6 · c = a · b: incoming 300" in view.words() and "where they add" in view.words()
    assert view.gradient("4") == "900 + 360 = 1260" and view.gradient("5") == "600 + 360 = 960"
    assert view.amounts() == {"900", "600"}
    page.get_by_role("button", name="one step back").click()
    assert view.gradient("4") == "… + 360" and "step 3 of 6" in view.words()
    assert page.evaluate("window.state.step") == 2


def test_slider_keys_and_clicks_move_too(page) -> None:
    view = View(page, classic())
    page.locator("input[type=range]").fill("5")
    assert "step 6 of 6 · b: gradient 960" in view.words()
    assert page.get_by_role("button", name="one step on").is_disabled()
    view.press("Home")
    assert "step 1 of 6" in view.words()
    view.press("ArrowRight", "ArrowRight")
    assert "step 3 of 6" in view.words()
    view.box("1").click()
    assert "step 2 of 6" in view.words() and "torch.mul" in page.locator(".t2m-detail").inner_text()
    page.evaluate("window.model.set('step', 3)")
    assert "step 4 of 6" in view.words()


def test_mlx_stands_beside_it(page) -> None:
    View(page, classic())
    side = page.locator(".t2m-side").inner_text()
    assert "value_and_grad(loss)(a, b) → (900, (1260, 960)) ✓" in side and "Multiply" in side and "1260" in side


def test_modules_fold_and_unfold(page) -> None:
    view = View(page, modules(40))
    folded = int(page.locator(".t2m-autograd").get_attribute("data-boxes"))
    assert 2 < folded <= 60 and page.locator(".t2m-group").count() == folded
    view.box("module:layers.30").click()
    page.wait_for_function("n => Number(document.querySelector('.t2m-autograd').dataset.boxes) > n", arg=folded)
    assert view.box("module:layers.30.part1").count() == 1
    page.get_by_role("button", name="unfold all").click()
    page.wait_for_function("document.querySelector('.t2m-autograd').dataset.boxes === '200'")
    page.get_by_role("button", name="fold all").click()
    page.wait_for_function("document.querySelector('.t2m-autograd').dataset.boxes === '1'")
    view.press("ArrowRight")
    assert view.box("module:layers").get_attribute("class").split().count("t2m-here") == 1


def test_a_click_tells_the_extension_which_module(page) -> None:
    from dataclasses import replace
    view = View(page, replace(modules(3), port="Net"))
    page.evaluate("document.addEventListener('t2m:open-module', event => { window.opened = event.detail; })")
    view.box("0").click()
    assert page.evaluate("window.opened") == {"port": "Net", "path": "layers.0.part0"}


def test_a_place_for_graphviz_in_the_page(page) -> None:
    """Where the kernel has no dot, the page's own graphviz lays out; here a stand-in in its words."""
    before = """window.t2mGraphLayout = async dot => { window.asked = dot;
        const boxes = [...dot.matchAll(/n(\\d+) \\[width=([\\d.]+), height=([\\d.]+)/g)];
        return '<svg xmlns="http://www.w3.org/2000/svg"><g>' + boxes.map(([, n, w, h]) => {
            const x = 300 * n, W = 72 * w, H = 72 * h;
            const corners = `${x},0 ${x + W},0 ${x + W},${H} ${x},${H}`;
            return `<g class="node"><title>n${n}</title><polygon points="${corners}"/></g>`;
        }).join('') + '<g class="edge"><title>n0&#45;&gt;n2</title><path d="M1,2C3,4 5,6 7,8"/></g></g></svg>'; };"""
    view = View(page, classic(), before=before)
    assert page.evaluate("window.asked").startswith("digraph")
    places = [view.box(name).get_attribute("transform") for name in "0123"]
    assert "translate(0,0)" in places and len(set(places)) == 4


def test_a_layout_that_fails_leaves_the_own_one(page) -> None:
    View(page, classic(), before="window.t2mGraphLayout = () => Promise.reject(new Error('no'));")
    assert page.locator(".t2m-box").count() == 6


def test_a_graph_that_could_not_be_measured(page) -> None:
    from dataclasses import replace
    graph = classic()
    bare = tuple(replace(node, incoming=(), problem="freed by an earlier backward()") for node in graph.nodes)
    View(page, replace(graph, nodes=bare, edges=tuple(replace(e, contribution=None, local=None) for e in graph.edges),
                       measured=False, freed=True, problem="This graph was freed.", mlx=None))
    text = page.locator(".t2m-autograd").inner_text()
    assert "This graph was freed." in text and "freed by an earlier backward()" in text
    assert not page.locator(".t2m-side").is_visible()


def test_two_thousand_nodes_are_usable(page) -> None:
    view = View(page, modules(400))
    page.get_by_role("button", name="unfold all").click()
    page.wait_for_function("document.querySelectorAll('.t2m-box').length === 2000")
    view.press("End")
    assert "step 2000 of 2000" in view.words()
    assert page.evaluate("window.sent.at(-1)") == {"detail": 1999}
    page.evaluate("window.model.tell('msg:custom', { detail: 1999, facts: { operation: 'torch.mul' } })")
    assert "torch.mul" in page.locator(".t2m-detail").inner_text()
    box, pane = view.box("1999").bounding_box(), page.locator(".t2m-pane").first.bounding_box()
    assert pane["y"] <= box["y"] and box["y"] + box["height"] <= pane["y"] + pane["height"] + 1  # scrolled into sight


def test_nothing_stays_behind(page) -> None:
    View(page, classic())
    assert page.evaluate("window.cleanUp(), window.model.listeners()") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(page, theme) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    view = View(page, classic(), theme, step=3)
    assert "300" in view.words()
    page.screenshot(path=str(ARTEFACTS / f"autograd_classic_{theme}.png"))
    View(page, modules(40), theme, step=30)
    page.screenshot(path=str(ARTEFACTS / f"autograd_folded_{theme}.png"))
