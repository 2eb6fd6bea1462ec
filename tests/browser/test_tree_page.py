"""The tree's script in a bare page with a stand-in for the widget model: fast and exact."""

from __future__ import annotations

import dataclasses

import pytest

from t2m_notebook.widgets.tree import TreeWidget
from t2m_notebook.widgets.tree_data import node_detail, tree_nodes
from tests.browser.harness import assert_readable, screenshot
from tests.render import reports

pytestmark = pytest.mark.browser

MODEL = """async ({ esm, css, state }) => {
    document.head.append(Object.assign(document.createElement('style'), { textContent: css }));
    const heard = {}, sent = [];
    const tell = (event, value) => (heard[event] ?? []).forEach(listener => listener(value));
    window.sent = sent;
    window.state = state;
    window.model = {
        get: name => state[name],
        set(name, value) {
            const values = typeof name === 'object' ? name : { [name]: value };
            Object.assign(state, values);
            Object.keys(values).forEach(key => tell(`change:${key}`));
        },
        save_changes() {}, send: message => sent.push(message),
        on: (event, listener) => (heard[event] ??= []).push(listener),
        off: (event, listener) => { heard[event] = heard[event].filter(one => one !== listener); },
        tell, listeners: () => Object.values(heard).flat().length,
    };
    const module = await import(URL.createObjectURL(new Blob([esm], { type: 'text/javascript' })));
    window.cleanUp = module.default.render({ model: window.model, el: document.querySelector('#here') });
}"""


class Tree:
    """A tree in a page, with the words a test needs."""

    def __init__(self, page, report, **traits) -> None:
        self.page, self.widget = page, TreeWidget(report, **traits)
        names = ("columns", "overview", "selected", "status_filter", "search", "twin")
        state = {name: getattr(self.widget, name) for name in names}
        page.set_content("<!doctype html><button id='before'></button><div id='here'></div>")
        page.evaluate(MODEL, {"esm": self.widget._esm, "css": self.widget._css, "state": state})
        self.view, self.detail = page.locator(".t2m-view"), page.locator(".t2m-detail")

    def names(self) -> list[str]:
        """The names of the lines in the page, top down."""
        return self.page.locator(".t2m-row .t2m-name").all_text_contents()

    def state(self, name: str):
        return self.page.evaluate("name => window.state[name]", name)

    def selected(self) -> str:
        return self.page.locator(".t2m-row[aria-selected=true] .t2m-name").inner_text()

    def press(self, *keys: str) -> None:
        self.view.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def set(self, **values) -> None:
        self.page.evaluate("values => window.model.set(values)", values)


def test_first_view_leads_to_the_problem(page) -> None:
    tree = Tree(page, reports.resnet())
    assert tree.names()[:10] == ["ResNet50", "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3",
                                 "0", "conv1"]
    assert tree.selected() == "ResNet50"
    assert page.locator(".t2m-score").inner_text() == "✓133 of 141 proven"
    assert "layer3.0.bn1 diverges" in tree.detail.inner_text()


def test_a_fold_opens_to_its_members(page) -> None:
    tree = Tree(page, reports.bert())
    tree.set(selected="encoder.layer.3.output")
    assert "0…11" in tree.names() and tree.names().count("output") == 1
    assert tree.selected() == "output"
    tree.press("ArrowLeft", "ArrowLeft")  # to layer 3, and close it
    assert tree.selected() == "3" and "output" not in tree.names()
    tree.press("ArrowLeft", "ArrowLeft")
    assert tree.selected() == "0…11" and "3" not in tree.names()
    assert "and 11 equal to it" in tree.detail.inner_text()
    assert tree.state("selected") == "encoder.layer.0"


def test_keys_move_open_and_close(page) -> None:
    tree = Tree(page, reports.resnet())
    tree.press("ArrowDown", "ArrowDown")
    assert tree.state("selected") == "bn1"
    tree.press("Home")
    assert tree.state("selected") == ""
    tree.press("End")
    assert tree.state("selected") == "aux"
    tree.press("ArrowRight")
    assert tree.names()[-1] == "0" and tree.selected() == "aux"
    tree.press("ArrowRight")
    assert tree.state("selected") == "aux.0"
    tree.press("ArrowLeft")
    assert tree.state("selected") == "aux"
    tree.press("ArrowLeft")
    assert tree.names()[-1] == "aux"
    tree.press("Enter")
    assert page.evaluate("document.activeElement.className") == "t2m-detail"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "t2m-view"


def test_n_visits_the_problems_and_comes_back(page) -> None:
    tree, visited = Tree(page, reports.resnet()), []
    for _ in range(3):
        tree.press("n")
        visited.append(tree.state("selected"))
    assert visited == ["layer3.0.bn1", "avgpool", "layer3.0.bn1"]
    assert "max|Δ| 3.8e-02 of 2.1" in tree.detail.inner_text()


def test_keys_do_not_leak(page) -> None:
    tree = Tree(page, reports.resnet())
    page.evaluate("""() => { window.leaked = [];
        document.body.addEventListener('keydown', event => window.leaked.push(event.key)); }""")
    tree.press("n", "ArrowDown", "j", "/")
    page.keyboard.type("dd")
    assert page.evaluate("window.leaked") == []
    assert page.locator(".t2m-tree").get_attribute("data-lm-suppress-shortcuts") == "true"
    page.keyboard.down("Control")  # saving still works
    assert page.locator(".t2m-tree").get_attribute("data-lm-suppress-shortcuts") is None


def test_search_shows_matches_and_what_leads_to_them(page) -> None:
    tree = Tree(page, reports.bert())
    tree.press("/")
    page.keyboard.type("QUERY")
    assert tree.state("search") == "QUERY"
    assert tree.names()[:6] == ["BertForMaskedLM", "encoder", "layer", "0…11", "0", "attention"]
    assert tree.names().count("query") == 1  # the other eleven layers are equal: closed
    assert page.locator(".t2m-tools").inner_text().split("\n")[-2:] == ["12 found", "keys"]
    page.keyboard.press("Enter")
    assert tree.state("selected") == "encoder.layer.0.attention.query"
    tree.press("Escape")
    assert tree.state("search") == "" and "mixer" in tree.names()


def test_chips_filter_by_status(page) -> None:
    tree = Tree(page, reports.resnet())
    chips = page.locator(".t2m-chip")
    assert [text.strip() for text in chips.all_text_contents()] == [
        "✓proven 133", "●mapped 1", "◐partial 1", "✗diverges 4", "–unseen 2"]
    page.locator(".t2m-chip[data-status=DIVERGES]").click()
    assert tree.state("status_filter") == ["DIVERGES"]
    assert tree.names() == ["ResNet50", "layer3", "0", "bn1"]
    page.locator(".t2m-chip[data-status=PARTIAL]").click()
    assert tree.names() == ["ResNet50", "layer3", "0", "bn1", "avgpool"]
    page.locator(".t2m-chip[data-status=DIVERGES]").click()
    page.locator(".t2m-chip[data-status=PARTIAL]").click()
    assert tree.state("status_filter") == [] and "conv1" in tree.names()
    tree.set(search="nothing is called so")
    assert tree.names() == ["ResNet50"]
    tree.press("ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft", "End", "n", "Enter")


def test_details_link_to_what_they_name(page) -> None:
    tree = Tree(page, reports.resnet())
    tree.set(selected="layer3.0")
    shown = tree.detail.inner_text()
    for words in ("layer3.0", "Bottleneck · resnet.py:108 · called once", "parts at self.bn1(out)",
                  "nn.BatchNorm(256, eps=1e-05)", "eps is 1e-05 here and 1e-03 in torch", "157"):
        assert words in shown
    tree.detail.get_by_text("self.bn1(out)", exact=True).click()
    assert tree.state("selected") == "layer3.0.bn1"
    assert "running_mean" in tree.detail.inner_text() and "buffer" in tree.detail.inner_text()


def test_shared_modules_and_tied_weights_say_so(page) -> None:
    tree = Tree(page, reports.bert())
    tree.set(selected="act")
    assert "the same module as encoder.layer.0.act" in tree.detail.inner_text()
    tree.set(selected="decoder")
    assert "tied to embeddings.weight" in tree.detail.inner_text()
    tree.detail.get_by_text("embeddings.weight").click()
    assert tree.state("selected") == "embeddings"


def test_the_root_lists_what_stands_in_the_way(page) -> None:
    tree = Tree(page, reports.bert())
    assert "torch.fft.rfft 2 calls: no rule" in tree.detail.inner_text()
    tree.detail.get_by_text("mixer", exact=True).first.click()
    assert tree.state("selected") == "mixer"


def test_names_full_of_html_stay_text(page) -> None:
    tree = Tree(page, reports.hostile())
    tree.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert page.evaluate("window.t2mHacked") is None
    assert page.locator("#here img, #here script").count() == 0
    assert reports.HOSTILE in tree.detail.inner_text()


def test_details_that_come_later(page) -> None:
    report = reports.resnet()
    tree = Tree(page, report)
    page.evaluate("() => { window.state.columns.detail.fill(-1); }")
    tree.set(selected="fc")
    assert "asking the kernel" in tree.detail.inner_text()
    index = page.evaluate("window.sent.at(-1).detail")
    answer = {"index": index, "detail": node_detail(tree_nodes(report.root)[index])}
    page.evaluate("answer => window.model.tell('msg:custom', answer)", answer)
    assert "1000×2048" in tree.detail.inner_text()


def test_a_new_report_keeps_what_is_open(page) -> None:
    tree = Tree(page, reports.resnet())
    tree.set(selected="layer3.0.bn1")
    before = tree.names()
    tree.widget.update(reports.resnet())
    tree.set(columns=tree.widget.columns, overview=tree.widget.overview)
    assert tree.names() == before and tree.state("selected") == "layer3.0.bn1"
    tree.widget.update(reports.bert())
    tree.set(columns=tree.widget.columns, overview=tree.widget.overview)
    assert tree.names()[0] == "BertForMaskedLM"


def test_removal_leaves_nothing_behind(page) -> None:
    Tree(page, reports.resnet())
    page.evaluate("window.cleanUp()")
    assert page.evaluate("window.model.listeners()") == 0


def test_very_deep_trees(page) -> None:
    tree = Tree(page, reports.deep(1500))
    assert int(page.locator(".t2m-tree").get_attribute("data-rows")) < 100
    tree.press("End")
    assert tree.state("selected") == ".".join(["x"] * 1500)
    assert "⋯1500" in page.locator(".t2m-row[aria-selected=true]").inner_text()
    tree.set(search="linear")
    tree.press("Home", "ArrowLeft", "ArrowRight")


def test_ten_thousand_modules(page) -> None:
    report = reports.large()
    tree = Tree(page, report)
    root = page.locator(".t2m-tree[data-paint-ms]")
    print("first paint, ms:", root.get_attribute("data-paint-ms"))
    tree.set(search="linear")
    linear = sum(node.class_name == "Linear" for node in report.root.walk())
    assert page.locator(".t2m-tools").inner_text().split("\n")[-2] == f"{linear:,} found"
    for _ in range(20):
        page.locator(".t2m-view").evaluate("view => { view.scrollTop += 3000; }")
        page.wait_for_timeout(20)
        assert 0 < page.locator(".t2m-row").count() < 100


@pytest.mark.parametrize("width", [1300, 900, 620, 380])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(page, width: int, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 900})
    tree = Tree(page, reports.resnet())
    page.evaluate("colour => { document.body.style.background = colour; }",
                  "#111418" if theme == "dark" else "#fff")
    tree.set(selected="layer3.0")
    beside = page.evaluate("""() => { const [a, b] = ['.t2m-view', '.t2m-detail'].map(
        name => document.querySelector(name).getBoundingClientRect()); return a.right <= b.left; }""")
    assert beside == (width > 720)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(page.locator(".t2m-tree"), f"tree-page-{width}-{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_checkpoints_are_marks_and_every_text_is_readable(page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 1300, "height": 700})
    tree = Tree(page, reports.with_checkpoints())
    page.evaluate("colour => { document.body.style.background = colour; }",
                  "#111418" if theme == "dark" else "#fff")
    marks = page.locator(".t2m-row .t2m-mark")
    tree.set(selected="blocks.1")
    assert "◆ attn.scores 3 NaN, 1 +Inf" in marks.all_inner_texts()
    assert tree.detail.locator(".t2m-mark").all_inner_texts() == [
        "◆ attn.scores: (1, 4, 8, 8) float32, -0.5 … 1.25, 3 NaN, 1 +Inf",
        "◆ mlp.hidden: (1, 8, 32) float32, -0.17 … 3.2"]
    assert "3 NaN" in page.locator(".t2m-row[aria-selected=true]").get_attribute("aria-label")
    view = page.locator(".t2m-tree")
    screenshot(view, f"tree-page-checkpoints-{theme}")
    # The selected line is tinted: what is amber, red and dim there is the least readable.
    for path in ("gate", "blocks.1", "blocks.1.norm"):
        tree.set(selected=path)
        tree.view.focus()
        assert page.locator(".t2m-row[aria-selected=true]").count() == 1
        assert_readable(view, f"{theme}, {path}")


def test_the_first_view_shows_the_checkpoints(page) -> None:
    report = reports.with_checkpoints()
    blocks = report.root.children[0]
    many = dataclasses.replace(blocks, name="more", path="more", children=tuple(
        dataclasses.replace(reports.leaf(f"more.{k}", "Linear", f"{k}, 2"), checkpoints=()) for k in range(3)))
    root = dataclasses.replace(report.root, children=(*report.root.children, many))
    Tree(page, dataclasses.replace(report, root=root, counts={}))
    assert "◆ attn.scores 3 NaN, 1 +Inf in blocks.1" in page.locator(".t2m-row .t2m-mark").all_inner_texts()
    assert page.locator(".t2m-row .t2m-name").all_inner_texts() == ["Net", "blocks", "0…1", "gate", "more"]
