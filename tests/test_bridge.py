"""The kernel's side of the live notebook, spoken to over fake comms: answers, order, several ports and pages."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from ipykernel.comm.comm import BaseComm
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.bridge import Bridge
from t2m_notebook.cell_source import fingerprint
from t2m_notebook.check_queue import CheckQueue
from t2m_notebook.live_cells import FrontEnd
from t2m_notebook.open_ports import OpenPorts
from t2m_notebook.types import CellCheck


class Block(nn.Module):
    """A residual block whose norm has an eps of its own."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x):
        out = self.norm(self.conv(x))
        return torch.relu(out + x)


class Net(nn.Module):
    """Two blocks and a head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.blocks = nn.ModuleList([Block(8) for _ in range(2)])
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Comm:
    """What the kernel thinks is a front-end."""

    def __init__(self, comm_id: str = "page"):
        self.comm_id, self.sent, self.is_broken = comm_id, [], False
        self._received = self._closed = None

    def on_msg(self, handler):
        self._received = handler

    def on_close(self, handler):
        self._closed = handler

    def send(self, message):
        if self.is_broken:
            raise ConnectionError("the page is gone")
        self.sent.append(message)

    def say(self, kind: str, session: str = "client", **data):
        """A message from the page."""
        self._received({"header": {"session": session}, "content": {"data": {"type": kind, **data}}})

    def close(self):
        self._closed({})

    def of(self, kind: str, **wanted) -> list[dict]:
        return [one for one in self.sent if one["type"] == kind
                and all(one.get(key) == value for key, value in wanted.items())]

    def wait_for(self, kind: str, count: int = 1, **wanted) -> dict:
        """The ``count``-th message of this kind, waiting for it."""
        deadline = time.monotonic() + 30
        while len(found := self.of(kind, **wanted)) < count:
            assert time.monotonic() < deadline, f"no {kind} {wanted}; there are {[one['type'] for one in self.sent]}"
            time.sleep(0.005)
        return found[count - 1]


class SlowPort:
    """Stands for a port whose checks take as long as the test wants. Tells which texts were checked."""

    class Cell:
        def __init__(self, name):
            self.name, self.generated, self.paths, self.edited = name, f"class {name}:\n    pass\n", (name,), False
            self.source = self.generated

    class Model:
        pass

    def __init__(self, name="Slow"):
        self.name, self.model = name, self.Model()
        self.cells = {"A": self.Cell("A"), "B": self.Cell("B")}
        self.checked, self.settled, self.interrupted = [], 0, 0
        self.may_go = threading.Event()
        self.may_go.set()
        self.may_explain = threading.Event()
        self.may_explain.set()
        self.started, self.explaining = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.live = self
        self.last: dict[str, CellCheck] = {}
        self.worker = self
        self.unsettled = ()
        self.progress = None

    def listen(self, listener):
        pass

    def interrupt(self):
        self.interrupted += 1
        self.may_go.set()
        self.may_explain.set()

    def check(self, name, source=None, *, tolerance=1.0, explain=True):
        self.started.set()
        assert self.may_go.wait(20)
        if self.error is not None:
            raise self.error
        self.checked.append((name, source))
        good = "bad" not in source
        self.last[name] = CellCheck(name, "proven" if good else "diverges", f"tolerance {tolerance}", 0.0, 1.0, 1, 1)
        return self.last[name]

    def explain(self, name, source, tolerance):
        self.explaining.set()
        assert self.may_explain.wait(20)
        self.last[name] = CellCheck(name, "diverges", "parts", message="at line 2", line=2)
        return self.last[name]

    def settle(self, *, tolerance=1.0):
        self.settled += 1
        self.tolerance = tolerance


@pytest.fixture(scope="module")
def port():
    """A real port, to share."""
    torch.manual_seed(0)
    made = t2m.port(Net().eval(), torch.randn(2, 3, 12, 12), name="net")
    made.parity(vary=False)
    yield made
    made.close()


@pytest.fixture
def ports():
    return OpenPorts()


@pytest.fixture
def live(ports, monkeypatch):
    """A bridge with a page that said hello."""
    queue = CheckQueue(idle=0.02)
    bridge = Bridge(ports, queue)
    comm = Comm()
    bridge.opened(comm)
    comm.say("hello", version=1)
    yield bridge, comm
    queue.close()


@pytest.fixture
def slow(live, ports, monkeypatch):
    """A port of one's own pace; the state of such a port isn't asked for."""
    monkeypatch.setattr("t2m_notebook.bridge.state_of", lambda port, checks, stale: {
        "type": "state", "port": port.name, "checks": dict(checks), "stale": sorted(stale)})
    made = SlowPort()
    ports.add(made)
    ports.tell("added", made)
    return made


def check(comm, cell, seq, source="class A:\n    pass", name="A", port="", **more):
    comm.say("check", cell=cell, seq=seq, port=port, source=source, force=False, **{"class": name}, **more)


def text(number):
    return f"class A:\n    x = {number}"


# ---------------------------------------------------------------------------- hello and no port


def test_hello_is_answered_and_nothing_is_sent_before_it(ports):
    bridge = Bridge(ports)
    comm = Comm()
    bridge.opened(comm, {"header": {}, "content": {"data": {"version": 1}}})
    assert comm.sent == []
    comm.say("hello", version=1)
    assert comm.sent == [{"type": "hello", "version": 1, "ports": [], "last": ""}]


def test_without_a_port_a_check_says_which_magic_to_run(live):
    _, comm = live
    check(comm, "c1", 7)
    answer = comm.wait_for("result")
    assert (answer["cell"], answer["seq"], answer["state"]) == ("c1", 7, "unknown")
    assert "%t2m_port" in answer["text"] and "run %t2m_port" in answer["message"]
    assert comm.of("checking") == []


def test_a_port_that_is_not_there_is_unknown_too(live, slow):
    _, comm = live
    check(comm, "c1", 1, port="other")
    answer = comm.wait_for("result")
    assert answer["state"] == "unknown" and "no port called other" in answer["message"]
    assert slow.checked == []


def test_unknown_types_and_keys_are_ignored(live):
    _, comm = live
    before = len(comm.sent)
    comm.say("dance", steps=3)
    comm._received({"content": {"data": "not even an object"}})
    comm._received({})
    assert len(comm.sent) == before


# ---------------------------------------------------------------------------- order


def test_the_newest_text_of_a_cell_wins(live, slow):
    _, comm = live
    slow.may_go.clear()
    check(comm, "c1", 1, text(1))
    assert slow.started.wait(10)
    for sequence in (2, 3, 4):
        check(comm, "c1", sequence, text(sequence))
    slow.may_go.set()
    assert comm.wait_for("result", seq=4)["state"] == "proven"
    assert [source for _, source in slow.checked] == [text(1), text(4)]
    assert comm.of("result", seq=1) == comm.of("result", seq=2) == comm.of("result", seq=3) == []
    check(comm, "c1", 3, text(3))  # came late
    check(comm, "c2", 1, "class B:\n    pass", "B")
    comm.wait_for("result", cell="c2")
    assert comm.of("result", seq=3) == []


def test_a_handler_never_waits(live, slow):
    _, comm = live
    slow.may_go.clear()
    for number in range(50):
        check(comm, f"c{number}", 1, text(number))
    comm.say("forget", cell="c3")
    comm.say("generated", port="", request="r", **{"class": "A"})
    comm.say("hello", version=1)
    assert slow.checked in ([], [text(0)]) and comm.of("result") == []  # the first check is still under way
    slow.may_go.set()
    for number in range(50):
        if number != 3:
            comm.wait_for("result", cell=f"c{number}")
    assert comm.of("result", cell="c3") == []


def test_a_hanging_check_is_ended_when_its_cell_has_a_newer_text(live, slow, monkeypatch):
    monkeypatch.setattr("t2m_notebook.bridge.PATIENCE", 0.05)
    _, comm = live
    slow.may_go.clear()
    check(comm, "c1", 1, text(1))
    assert slow.started.wait(10)
    check(comm, "c1", 2, text(2))
    assert comm.wait_for("result", seq=2)["state"] == "proven"
    assert slow.interrupted == 1
    time.sleep(0.15)
    assert slow.interrupted == 1  # nobody waits for another


def test_the_whole_model_is_measured_once_when_nobody_types(live, slow):
    bridge, comm = live
    for sequence in range(1, 6):
        check(comm, "c1", sequence, text(sequence))
        comm.wait_for("result", seq=sequence)
    assert bridge.queue.wait_until_idle(10)
    assert 1 <= slow.settled <= 5
    settled = slow.settled
    check(comm, "c1", 9, "class A:\n    bad = 1")
    comm.wait_for("result", seq=9)
    assert bridge.queue.wait_until_idle(10)
    assert slow.settled == settled  # a class that differs makes the whole differ: nothing to learn
    check(comm, "c1", 10, text(10))
    comm.wait_for("result", seq=10)
    assert bridge.queue.wait_until_idle(10)
    assert slow.settled == settled + 1


def test_a_diverging_class_is_answered_at_once_and_explained_later(live, slow):
    _, comm = live
    check(comm, "c1", 1, "class A:\n    bad = 1")
    first, second = comm.wait_for("result"), comm.wait_for("result", 2)
    assert first["text"] == "tolerance 1.0" and first["line"] is None
    assert second["text"] == "parts" and second["line"] == 2 and second["seq"] == 1
    assert second["message"] == "at line 3"  # as the editor counts, from the magic line


def test_checks_of_other_cells_come_before_an_explanation(live, slow):
    _, comm = live
    slow.may_go.clear()
    check(comm, "c1", 1, "class A:\n    bad = 1")
    assert slow.started.wait(10)
    check(comm, "c2", 1, "class B:\n    pass", "B")
    slow.may_go.set()
    comm.wait_for("result", 2, cell="c1")
    assert [one["cell"] for one in comm.of("result")] == ["c1", "c2", "c1"]


def test_an_explanation_that_takes_long_gives_way_to_a_check(live, slow, monkeypatch):
    monkeypatch.setattr("t2m_notebook.bridge.PATIENCE", 0.05)
    _, comm = live
    slow.may_explain.clear()
    check(comm, "c1", 1, "class A:\n    bad = 1")
    assert slow.explaining.wait(10)
    check(comm, "c2", 1, "class B:\n    pass", "B")
    assert comm.wait_for("result", cell="c2")["state"] == "proven"
    assert slow.interrupted == 1


def test_a_message_goes_to_the_subshell_that_its_header_names():
    """ipykernel's comms send it to the one in whose context the kernel spoke last."""
    comm = BaseComm(target_name="t2m_notebook", primary=False)
    FrontEnd(comm)
    comm._reply_subshell_id = "of a page that is gone"
    assert comm._reply_subshell_for({"type": "check"}, "its own") == "its own"


def test_tolerance_comes_from_the_settings(live, slow):
    bridge, comm = live
    comm.say("settings", tolerance=10, live=True)
    check(comm, "c1", 1)
    assert comm.wait_for("result")["text"] == "tolerance 10.0"
    assert bridge.queue.wait_until_idle(10) and slow.tolerance == 10
    for strange in (None, -1, "much"):
        comm.say("settings", tolerance=strange, live=True)
    check(comm, "c1", 2)
    assert comm.wait_for("result", seq=2)["text"] == "tolerance 1.0"


# ---------------------------------------------------------------------------- errors


def test_an_error_of_ours_is_told_in_the_badge(live, slow, capsys):
    _, comm = live
    slow.error = ZeroDivisionError("of our own making")
    check(comm, "c1", 1)
    answer = comm.wait_for("result")
    assert answer["state"] == "error" and "of our own making" in answer["text"]
    comm.say("check", cell="c2", seq=3)  # without a class or a source
    answer = comm.wait_for("result", cell="c2")
    assert answer["state"] == "error" and answer["seq"] == 3
    slow.error = None
    check(comm, "c1", 4)
    assert comm.wait_for("result", seq=4)["state"] == "proven"
    assert capsys.readouterr() == ("", "")


def test_a_page_that_is_gone_stops_nobody(live, slow):
    bridge, comm = live
    other = Comm("other")
    bridge.opened(other)
    other.say("hello", version=1, session="second")
    other.is_broken = True
    check(comm, "c1", 1)
    comm.wait_for("result")
    comm.wait_for("state", port="Slow")
    other.close()
    assert list(bridge.front_ends) == ["page"]


@pytest.mark.parametrize(("source", "said", "line"), [
    ("class Other:\n    pass", "change the name back", 1),
    ("class A:\n    pass\nclass A:\n    pass", "defined twice in this cell, on lines 2 and 4", 3),
    ("x = 1", "not in this cell any more", None),
    ("class A:\n    pass\n%%t2m_cell B\nclass B:\n    pass", "Two cells are merged", 3),
    ("class A:\n    pass\nclass B:\n    pass", "class B has a cell of its own", 3),
])
def test_a_text_that_is_not_the_class_is_an_error_with_its_line(live, slow, source, said, line):
    _, comm = live
    check(comm, "c1", 1, source)
    answer = comm.wait_for("result")
    assert answer["state"] == "error" and said in answer["message"] and answer["line"] == line
    assert [mark["line"] for mark in answer["marks"]] == [line] * (line is not None)
    assert slow.checked == [("A", source)]  # the port has the text: it can't be green with an older one


def test_an_unknown_class_gets_a_suggestion(live, port, ports):
    _, comm = live
    ports.add(port)
    check(comm, "c1", 1, "class Blok:\n    pass", "Blok")
    answer = comm.wait_for("result")
    assert answer["state"] == "error" and "Did you mean Block?" in answer["message"]


# ---------------------------------------------------------------------------- several


def test_two_ports_are_told_apart_by_name(live, slow, ports):
    _, comm = live
    second = SlowPort("Second")
    ports.add(second)
    ports.tell("added", second)
    check(comm, "c1", 1, text(1), port="Slow")
    check(comm, "c2", 1, text(2))  # the last port
    assert comm.wait_for("result", cell="c1")["port"] == "Slow"
    assert comm.wait_for("result", cell="c2")["port"] == "Second"
    assert slow.checked == [("A", text(1))] and second.checked == [("A", text(2))]
    comm.say("hello", version=1)
    assert comm.of("hello")[-1]["ports"] == ["Slow", "Second"] and comm.of("hello")[-1]["last"] == "Second"


def test_a_port_made_again_gets_the_texts_of_its_cells(live, slow, ports):
    bridge, comm = live
    check(comm, "c1", 5, text(5), port="Slow")
    comm.wait_for("result")
    again = SlowPort()
    ports.add(again)
    ports.tell("added", again)
    comm.wait_for("result", 2, seq=5)
    assert again.checked == [("A", text(5))]


def test_every_page_hears_the_state_and_only_the_asking_one_the_result(live, slow):
    bridge, comm = live
    other = Comm("other")
    bridge.opened(other)
    other.say("hello", version=1, session="second")
    check(other, "c1", 1)
    other.wait_for("result")
    comm.wait_for("state", port="Slow")
    other.wait_for("state", port="Slow")
    assert comm.of("result") == []


def test_a_reloaded_page_asks_again(live, slow):
    bridge, comm = live
    check(comm, "c1", 40, text(1))
    comm.wait_for("result")
    comm.close()
    page = Comm("reloaded")
    bridge.opened(page)
    page.say("hello", version=1, session="new")
    assert page.of("hello")[0]["ports"] == ["Slow"]
    page.wait_for("state", port="Slow")
    check(page, "c1", 1, text(2))  # its numbers begin anew
    assert page.wait_for("result")["seq"] == 1


def test_the_pages_that_never_said_goodbye_are_forgotten(ports):
    bridge = Bridge(ports)
    for number in range(20):
        bridge.opened(Comm(f"page {number}"))
    assert len(bridge.front_ends) == 8 and "page 19" in bridge.front_ends


def test_one_class_in_two_cells_is_told(live, slow):
    bridge, comm = live
    check(comm, "c1", 1, text(1))
    assert comm.wait_for("result", cell="c1")["marks"] == []
    check(comm, "c2", 1, text(2))
    answer = comm.wait_for("result", cell="c2")
    assert "stands in 2 cells" in answer["message"] and answer["marks"][0]["severity"] == "warning"
    check(comm, "c2", 2, text(1))  # the same text twice does no harm
    assert comm.wait_for("result", cell="c2", seq=2)["marks"] == []


def test_a_deleted_cell_leaves_its_class_to_the_other_cell_or_to_what_was_generated(live, slow):
    bridge, comm = live
    check(comm, "c1", 1, text(1))
    check(comm, "c2", 1, text(2))
    comm.wait_for("result", cell="c2")
    comm.say("forget", cell="c2")
    comm.wait_for("result", 2, cell="c1")
    assert slow.checked[-1] == ("A", text(1))
    comm.say("forget", cell="c1")
    comm.say("forget", cell="never seen")
    assert bridge.queue.wait_until_idle(10)
    assert slow.checked[-1] == ("A", slow.cells["A"].generated)


# ---------------------------------------------------------------------------- a real port


@pytest.fixture
def real(live, port, ports):
    bridge, comm = live
    for cell in port.cells.values():
        cell.reset()
    ports.add(port)
    ports.tell("added", port)
    yield bridge, comm, port
    bridge.queue.wait_until_idle(20)


def test_cells_are_sent_in_order_to_the_page_that_runs_the_cell(real, ports):
    bridge, comm, port = real
    other = Comm("other")
    bridge.opened(other)
    other.say("hello", version=1, session="second")
    bridge.parent = lambda: {"header": {"session": "client"}, "metadata": {"cellId": "cell-9"}}
    ports.tell("laid out", port)
    message = comm.wait_for("cells")
    assert other.of("cells") == []
    assert message["port"] == "net" and message["execution"] == {"cell_id": "cell-9"}
    assert [cell["class"] for cell in message["cells"]] == ["Block", "Net"]
    for cell in message["cells"]:
        first, _, rest = cell["source"].partition("\n")
        assert first == f"%%t2m_cell {cell['class']} --name net"
        assert rest == port.cells[cell["class"]].generated.rstrip()
        assert cell["generated"] == fingerprint(cell["source"])
    assert "%t2m_parity net" in message["assembly"] and "%t2m_save net" in message["assembly"]


def test_cells_wait_for_a_page(ports, port):
    bridge = Bridge(ports, CheckQueue(idle=0.02))
    ports.add(port)
    ports.tell("laid out", port)
    comm = Comm()
    bridge.opened(comm)
    assert comm.sent == []
    comm.say("hello", version=1)
    comm.wait_for("cells")
    comm.say("hello", version=1)
    comm.wait_for("state", port="net")
    assert len(comm.of("cells")) == 1  # once
    bridge.queue.close()


def test_an_edit_is_red_then_green_and_the_state_follows(real):
    bridge, comm, port = real
    source = port.cells["Block"].generated
    wrong = source.replace("nn.relu(out + x)", "nn.relu(out - x)")
    assert wrong != source
    check(comm, "c1", 1, wrong, "Block", "net")
    answer = comm.wait_for("result", seq=1)
    assert answer["state"] == "diverges" and answer["glyph"] == "✗" and answer["instances"] == 2
    assert answer["difference"] > answer["allowed"] > 0
    explained = comm.wait_for("result", 2, seq=1)
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "out - x" in text)
    assert explained["line"] == line and explained["marks"][0]["line"] == line
    assert f"line {line + 1}" in explained["message"]  # the magic line counts in an editor
    assert bridge.queue.wait_until_idle(20)
    state = comm.of("state")[-1]
    assert state["classes"]["Block"] == {"paths": ["blocks.0", "blocks.1"], "status": "DIVERGES", "edited": True}
    assert state["first_red"]["class"] == "Block" and state["counts"]["PROVEN"] < sum(state["counts"].values())
    root = state["tree"]
    assert root["status"] != "PROVEN"  # its part was edited since it was measured
    assert {row["state"] for row in state["weights"]} == {"matched"} and len(state["weights"]) > 10

    check(comm, "c1", 2, source, "Block", "net")
    assert comm.wait_for("result", seq=2)["state"] == "proven"
    assert bridge.queue.wait_until_idle(20)
    state = comm.of("state")[-1]
    assert state["first_red"] is None and state["classes"]["Block"]["status"] == "PROVEN"
    assert state["classes"]["Block"]["edited"] is False and state["stale"] == []
    proven = state["counts"]["PROVEN"]
    assert state["summary"] == f"{proven}/{proven} proven"


def test_an_edit_from_python_is_noticed(real):
    bridge, comm, port = real
    source = port.cells["Block"].generated
    port.cells["Block"].set(source.replace("out + x", "out * x"))
    assert bridge.queue.wait_until_idle(20)
    assert comm.of("state")[-1]["classes"]["Block"]["status"] == "DIVERGES"
    port.cells["Block"].undo()
    assert bridge.queue.wait_until_idle(20)
    assert comm.of("state")[-1]["classes"]["Block"]["status"] == "PROVEN"


def test_texts_are_given_on_request(real):
    _, comm, port = real
    comm.say("torch_source", port="net", request="a", **{"class": "Block"})
    comm.say("generated", port="", request="b", **{"class": "Block"})
    comm.say("generated", port="", request="c", **{"class": "Blok"})
    assert "nn.BatchNorm2d(width, eps=1e-3)" in comm.wait_for("torch_source")["text"]
    assert comm.wait_for("generated", request="b")["text"] == port.cells["Block"].generated
    assert "Did you mean Block?" in comm.wait_for("generated", request="c")["text"]
