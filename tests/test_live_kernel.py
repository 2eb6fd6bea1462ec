"""The live notebook in a real kernel: comm messages over the wire, a busy kernel, a crash, a restart."""

from __future__ import annotations

import queue
import time
import uuid

import pytest
from jupyter_client.manager import start_new_kernel

from t2m_notebook.cell_source import fingerprint

pytestmark = pytest.mark.slow

MODEL = """
import torch
from t2m_notebook.demo import resnet
model, args, _ = resnet()
"""


SHOWN = ("stream", "display_data", "update_display_data", "execute_result", "error")


class Page:
    """A front-end without a browser: it executes cells and talks over a comm."""

    def __init__(self, client):
        self.client, self.comm_id, self.heard, self.opened = client, "", [], []
        self.subshell: str | None = None

    def run(self, code: str, cell_id: str = "") -> list[dict]:
        """Executes a cell as JupyterLab does, and gives the outputs."""
        message = self.client.session.msg("execute_request", {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True}, metadata={"cellId": cell_id})
        self.client.shell_channel.send(message)
        outputs: list[dict] = []
        self.listen(lambda one: one["parent_header"].get("msg_id") == message["header"]["msg_id"]
                    and one["msg_type"] == "status" and one["content"]["execution_state"] == "idle", outputs)
        return outputs

    def listen(self, until, outputs=None, seconds: float = 60.0):
        """Takes messages until one is wanted, which is returned."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "comm_open" and content["target_name"] == "t2m_notebook":
                self.opened.append(content["comm_id"])
            elif kind == "comm_msg" and content["comm_id"] == self.comm_id:
                self.heard.append(content["data"])
            elif outputs is not None and kind in SHOWN:
                outputs.append({"kind": kind, **content})
            if until(message):
                return message
        raise AssertionError(f"nothing came in {seconds} s; heard {[one['type'] for one in self.heard]}")

    def say(self, kind: str, **data) -> None:
        message = self.client.session.msg("comm_msg", {"comm_id": self.comm_id, "data": {"type": kind, **data}})
        message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)

    def ask_control(self, kind: str, **content) -> dict:
        """A request over the control channel, answered also by a busy kernel."""
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=30)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def open(self) -> None:
        """Opens a comm, as a page does when it is loaded."""
        self.comm_id = uuid.uuid4().hex
        self.client.shell_channel.send(self.client.session.msg(
            "comm_open", {"comm_id": self.comm_id, "target_name": "t2m_notebook", "data": {"version": 1}}))

    def wait(self, kind: str, seconds: float = 60.0, **wanted) -> dict:
        """The next message of this kind that was not taken yet."""
        def found():
            for number, one in enumerate(self.heard):
                if one["type"] == kind and all(one.get(key) == value for key, value in wanted.items()):
                    return number
        if found() is None:
            self.listen(lambda _: found() is not None, seconds=seconds)
        return self.heard.pop(found())

    def check(self, cell: str, sequence: int, text: str) -> None:
        head, _, source = text.partition("\n")
        self.say("check", cell=cell, seq=sequence, port="", source=source, force=False, **{"class": head.split()[1]})


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_story_over_the_wire(kernel):
    manager, client = kernel
    page = Page(client)

    # before %load_ext nobody answers: the kernel closes the comm
    page.open()
    page.listen(lambda one: one["msg_type"] == "comm_close" and one["content"]["comm_id"] == page.comm_id)
    assert page.run(MODEL) == []

    assert page.run("%load_ext t2m_notebook") == []
    page.comm_id = page.opened[-1]
    page.say("hello", version=1)
    assert page.wait("hello")["ports"] == []

    shown = page.run("p = %t2m_port model *args --no-vary", cell_id="port-cell")
    html = "".join(one["data"].get("text/html", "") for one in shown if "data" in one)
    assert 't2m-without-extension' in html
    cells = page.wait("cells")
    assert cells["execution"]["cell_id"] == "port-cell" and len(cells["cells"]) >= 2
    texts = {cell["class"]: cell["source"] for cell in cells["cells"]}
    assert list(texts)[-1] == type_of_root(page)
    assert all(fingerprint(cell["source"]) == cell["generated"] for cell in cells["cells"])
    state = page.wait("state")
    assert state["port"] == cells["port"] and set(state["classes"]) == set(texts)

    # every class as it came is equal to torch
    for number, text in enumerate(texts.values()):
        page.check(f"cell {number}", 1, text)
    for number in range(len(texts)):
        answer = page.wait("result", cell=f"cell {number}")
        assert answer["state"] == "proven", answer

    # a planted bug is red, a mended one green
    name = next(name for name in texts if "nn.relu(" in texts[name])
    cell = f"cell {list(texts).index(name)}"
    wrong = texts[name].replace("nn.relu(", "nn.gelu(", 1)
    page.check(cell, 2, wrong)
    answer = page.wait("result", cell=cell, seq=2)
    assert answer["state"] == "diverges" and answer["difference"] > answer["allowed"]
    # the same by running the cell: shown, not raised
    shown = page.run(wrong, cell_id=cell)
    assert [one["kind"] for one in shown] == ["display_data"]
    assert "✗" in shown[0]["data"]["text/plain"] and "t2m-cell-check" in shown[0]["data"]["text/html"]

    # while the kernel runs a cell, checks are answered (by a subshell in JupyterLab, here after the cell)
    page.check(cell, 3, texts[name])
    assert page.wait("result", cell=cell, seq=3)["state"] == "proven"

    # code that hangs, exits or crashes takes only the worker with it
    page.check(cell, 4, texts[name] + "\n        raise SystemExit(3)\n")
    page.check("other", 1, texts[name].replace("    def __call__", "    import os; os._exit(3)\n\n    def __call__", 1))
    answer = page.wait("result", cell="other")
    assert answer["state"] in ("stopped", "error"), answer
    page.check("other", 2, texts[name])
    assert page.wait("result", cell="other", seq=2)["state"] == "proven"
    assert manager.is_alive() and page.run("print(1 + 1)")[0]["text"] == "2\n"

    # a page that is loaded again opens a comm of its own
    page.open()
    page.say("hello", version=1)
    assert page.wait("hello", ports=[cells["port"]])["last"] == cells["port"]
    page.check(cell, 1, wrong)
    assert page.wait("result", cell=cell, seq=1)["state"] == "diverges"

    # nothing was printed into a cell of the user's
    assert page.run("pass") == []


def type_of_root(page: Page) -> str:
    return page.run("print(type(model).__name__)")[0]["text"].strip()


def test_a_busy_kernel_answers_a_page_that_was_loaded_again(kernel, tmp_path):
    """JupyterLab sends a page's comm messages to a subshell of its own, which ends when the page is left."""
    manager, client = kernel
    page = Page(client)
    page.open()
    page.say("hello", version=1)
    page.wait("hello")
    text = page.run("print(p.cells['BasicBlock'].generated)")[0]["text"]
    for sequence in range(1, 4):
        if page.subshell is not None:
            page.ask_control("delete_subshell_request", subshell_id=page.subshell)
            page.subshell = None
            page.open()  # the new page begins on the main shell
            page.say("hello", version=1)
            page.wait("hello")
            page.check("a", sequence, f"%%t2m_cell BasicBlock\n{text}")
            page.wait("result", cell="a", seq=sequence)
        page.subshell = page.ask_control("create_subshell_request")["subshell_id"]
        may_end = tmp_path / f"may end {sequence}"
        client.execute(f"import os, time\nwhile not os.path.exists({str(may_end)!r}): time.sleep(0.01)")
        page.check("b", sequence, f"%%t2m_cell BasicBlock\n{text}")
        assert page.wait("result", cell="b", seq=sequence)["state"] == "proven"  # while the cell still runs
        may_end.touch()
        page.run("pass")


def test_after_a_restart_nothing_runs_until_it_is_asked_for(kernel, tmp_path):
    manager, client = kernel
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=60)
    page = Page(client)
    page.open()
    page.listen(lambda one: one["msg_type"] == "comm_close" and one["content"]["comm_id"] == page.comm_id)
    page.run("%load_ext t2m_notebook")
    page.comm_id = page.opened[-1]
    page.say("hello", version=1)
    page.check("cell", 1, f"%%t2m_cell Block\nclass Block:\n    open({str(tmp_path / 'trace')!r}, 'w')\n")
    answer = page.wait("result")
    assert answer["state"] == "unknown" and "%t2m_port" in answer["text"]
    assert list(tmp_path.iterdir()) == []
