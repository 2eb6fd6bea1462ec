// The autograd graph in a notebook: the graph, one step of the backward pass at a time, and MLX beside it.

const LARGEST_FOR_DOT = 700; // boxes; above it graphviz takes longer than anyone waits
const PATIENCE = 300; // milliseconds that the page waits for a better layout before it draws its own
const LONG = 9; // layers; a longer graph is drawn downwards

function render({ model, el }) {
  const began = performance.now();
  let data = model.get("data"), modules = modulesOf(data), opened = new Set(data.opened);
  let folded = null, sizes = null, placed = null, current = -1, layout = 0;
  const drawnBoxes = new Map(), drawnEdges = new Map(), waiting = new Map();
  const asked = new Map(); // details that came later, by node
  const set = setterOf(model);

  const root = make("div", "t2m-autograd");
  const head = make("div", "t2m-head"), notes = make("div"), bar = make("div", "t2m-step");
  const back = makeButton("t2m-chip", "◀", () => goTo(current - 1));
  const forth = makeButton("t2m-chip", "▶", () => goTo(current + 1));
  const slider = make("input"), words = make("span", "t2m-words"), tools = make("span", "t2m-tools");
  const pane = new Pane("torch's autograd graph"), below = make("div", "t2m-below");
  const detail = make("div", "t2m-detail"), side = make("div", "t2m-side");
  const mlxPane = new Pane("MLX's lazily built graph");
  root.tabIndex = -1;
  slider.type = "range"; slider.min = 0; slider.setAttribute("aria-label", "step of the backward pass");
  back.title = "one step back (←)"; forth.title = "one step on (→)";
  back.setAttribute("aria-label", "one step back"); forth.setAttribute("aria-label", "one step on");
  words.setAttribute("aria-live", "polite");
  bar.append(back, forth, slider, words);
  below.append(detail, side);
  root.append(head, notes, pane.root, bar, below);
  el.append(root);

  // ------------------------------------------------------------------ head and MLX's side

  function showHead() {
    head.replaceChildren(make("b", "", data.title), make("span", "t2m-dim t2m-facts", data.facts.join(" · ")));
    if (data.mlx && data.mlx.ok !== null) {
      head.append(make("span", `t2m-score t2m-${data.mlx.ok ? "PROVEN" : "DIVERGES"}`,
        data.mlx.ok ? "✓ gradients equal in MLX" : "✗ gradients differ in MLX"));
    }
    head.append(tools);
    notes.replaceChildren(...data.remarks.map(text => make("div", "t2m-note", text)));
    bar.hidden = !data.nodes.length;
    slider.max = Math.max(data.nodes.length - 1, 0);
  }

  function showSide() {
    side.hidden = !data.mlx;
    if (!data.mlx) return;
    side.replaceChildren(...drawMlxSide(data.mlx, mlxPane));
  }

  // ------------------------------------------------------------------ layout

  // Calls `show` with places: graphviz's where there is one, else its own; first what is there in time.
  function place(of, edges, show) {
    const id = ++layout, down = longest(of, edges) > LONG;
    const across = down ? new Map([...of].map(([name, [w, h]]) => [name, [h, w]])) : of;
    const gap = down ? GAP_DOWN : GAP_ALONG;
    const own = () => { const answer = layered(across, edges, gap); return down ? turned(answer) : answer; };
    if (of.size > LARGEST_FOR_DOT || of.size < 2 || (!model.get("has_dot") && !window.t2mGraphLayout)) return show(own());
    let shown = false;
    const timer = setTimeout(() => { shown = true; show(own()); }, PATIENCE);
    const answered = answer => {
      waiting.delete(id);
      clearTimeout(timer);
      if (answer) show(answer); else if (!shown) show(own());
    };
    waiting.set(id, answered);
    if (model.get("has_dot")) {
      model.send({ layout: id, sizes: Object.fromEntries(of), edges, down });
    } else {
      window.t2mGraphLayout(dotSource(across, edges, gap)).then(text => {
        const answer = readSvg(text, across);
        answered(answer && down ? turned(answer) : answer);
      }, () => answered(null));
    }
  }

  function receive(message) {
    if (message.detail !== undefined) {
      asked.set(message.detail, message.facts);
      if (message.detail === current) showDetail(current);
      return;
    }
    waiting.get(message.layout)?.({ corners: message.corners, paths: message.paths, width: message.width,
      height: message.height });
  }

  function showGraph(scale) {
    folded = foldGraph(data, modules, opened);
    sizes = new Map();
    for (const [name, members] of folded.boxes) {
      if (!name.startsWith("module:")) sizes.set(name, [data.nodes[members[0]][6], BOX]);
      else sizes.set(name, [Math.max(84, Math.max(...groupText(data, name, members).map(t => t.length)) * CHARACTER + 32), BOX]);
    }
    showFolds();
    place(sizes, [...folded.edges.values()].map(edge => [edge.tail, edge.head]), answer => {
      placed = answer;
      drawGraph(scale);
    });
  }

  function drawGraph(scale) {
    drawnBoxes.clear();
    drawnEdges.clear();
    const children = [], labels = draw("g", { class: "t2m-labels" });
    for (const [tail, head, points] of placed.paths) {
      const path = draw("path", { d: pathText(points) });
      drawnEdges.set(`${tail}\0${head}`, { path, points });
      children.push(path);
    }
    for (const [name, members] of folded.boxes) children.push(drawBox(name, members));
    children.push(labels);
    drawnEdges.labels = labels;
    pane.show(children, placed.width, placed.height, scale);
    root.dataset.boxes = folded.boxes.size;
    const at = current;
    current = -1;
    showStep(at < 0 ? model.get("step") : at);
  }

  function drawBox(name, members) {
    const [x, y] = placed.corners[name], [w, h] = sizes.get(name), isGroup = name.startsWith("module:");
    const node = isGroup ? null : data.nodes[members[0]];
    const group = draw("g", { class: `t2m-box ${isGroup ? "t2m-group" : node[3]}`, transform: `translate(${x},${y})`,
      "data-box": name, tabindex: -1 });
    const [title, under] = isGroup ? groupText(data, name, members) : [node[0], ""];
    group.append(draw("title", {}, isGroup ? `module ${title}: click to unfold` : node[5]),
      draw("rect", { width: w, height: h, rx: 5 }),
      draw("text", { class: "t2m-name", x: 9, y: 18 }, isGroup ? `▸ ${title}` : title));
    if (!isGroup) group.append(draw("text", { class: "t2m-value", x: w - 9, y: 18 }, node[1]));
    const lower = draw("text", { class: isGroup ? "t2m-under" : "t2m-gradient", x: 9, y: 36 }, under);
    group.append(lower);
    drawnBoxes.set(name, { group, lower });
    return group;
  }

  function showFolds() {
    tools.replaceChildren();
    const button = (text, title, go) => {
      tools.append(makeButton("t2m-chip", text, go));
      tools.lastChild.title = title;
    };
    if (modules.inside.size) {
      const all = [];
      const walk = group => { for (const inner of group.inside.values()) { all.push(inner.path); walk(inner); } };
      walk(modules);
      if (opened.size) button("fold all", "one box for each module", () => { opened = new Set(); showGraph(); });
      if (opened.size < all.length) button("unfold all", "every operation", () => { opened = new Set(all); showGraph(); });
    }
    button("−", "smaller (Ctrl and the wheel)", () => pane.zoom(pane.scale / 1.25));
    button("+", "larger (Ctrl and the wheel)", () => pane.zoom(pane.scale * 1.25));
    button("fit", "the whole graph", () => pane.zoom(Math.min((pane.root.clientWidth - 4) / pane.size[0],
      (pane.root.clientHeight - 4) / pane.size[1])));
  }

  // ------------------------------------------------------------------ steps

  // What a node's gradient reads after step `at`: nothing yet, a part of the sum, or all of it.
  function gradientAt(index, at) {
    const node = data.nodes[index], parts = data.partial[index];
    if (parts) {
      let text = "";
      for (const [consumer, said] of parts) if (consumer <= at) text = said;
      return text;
    }
    if (data.roots.includes(index)) return node[2];
    return (arrives[index] ?? Infinity) <= at ? node[2] : "";
  }

  let arrives = {};
  function readEdges() {
    arrives = {};
    for (const [consumer, producer] of data.edges) arrives[producer] = Math.max(arrives[producer] ?? 0, consumer);
  }

  function showStep(at) {
    at = Math.min(Math.max(at, 0), data.nodes.length - 1);
    if (at < 0) return;
    const moved = at !== current;
    current = at;
    slider.value = at;
    back.disabled = at === 0;
    forth.disabled = at === data.nodes.length - 1;
    const [title, sentence] = data.steps[at];
    words.replaceChildren(make("span", "t2m-dim", `step ${at + 1} of ${data.nodes.length} · `), make("b", "t2m-mono", title),
      `: ${sentence}`);
    if (moved) showDetail(at);
    if (!placed) return;
    for (const [name, { group, lower }] of drawnBoxes) {
      const members = folded.boxes.get(name), here = folded.boxOf[at] === name;
      group.classList.toggle("t2m-here", here);
      group.classList.toggle("t2m-done", members.every(index => index <= at));
      if (!name.startsWith("module:")) {
        const text = data.measured ? gradientAt(members[0], at) : members[0] === at ? data.nodes[at][2] : "";
        if (lower.textContent !== text) lower.textContent = text;
      }
    }
    drawnEdges.labels.replaceChildren();
    for (const [key, { path, points }] of drawnEdges) {
      const members = folded.edges.get(key)?.members ?? [], hot = members.filter(k => data.edges[k][0] === at);
      path.classList.toggle("t2m-hot", hot.length > 0);
      path.classList.toggle("t2m-past", members.every(k => data.edges[k][0] < at));
      const amounts = hot.map(k => data.edges[k][2]).filter(Boolean);
      if (amounts.length && amounts.join().length < 26) labelEdge(points, amounts.join(", "));
    }
    const box = folded.boxOf[at];
    pane.reveal(placed.corners[box], sizes.get(box));
  }

  function labelEdge(points, text) {
    const k = Math.floor((points.length - 1) / 3 / 2) * 3, [p0, p1, p2, p3] = points.slice(k, k + 4);
    const middle = axis => (p0[axis] + 3 * p1[axis] + 3 * p2[axis] + p3[axis]) / 8, width = text.length * CHARACTER + 8;
    const label = draw("g", { class: "t2m-amount", transform: `translate(${middle(0) - width / 2},${middle(1) - 9})` });
    label.append(draw("rect", { width, height: 18, rx: 9 }), draw("text", { x: 4, y: 13 }, text));
    drawnEdges.labels.append(label);
  }

  function goTo(at) {
    showStep(at);
    if (model.get("step") !== current) set("step", current);
  }

  // Opens the modules that a node is folded into.
  function unfold(index) {
    const parts = data.nodes[index][4]?.split(".") ?? [];
    const before = opened.size;
    parts.forEach((_, k) => opened.add(parts.slice(0, k + 1).join(".")));
    if (opened.size !== before) showGraph(pane.scale);
  }

  // ------------------------------------------------------------------ details

  function showDetail(at) {
    const facts = data.details[at] ?? asked.get(at);
    if (!facts && !data.details.length) model.send({ detail: at });
    detail.replaceChildren(...drawNode(data, at, facts, { goTo, openCell, fold,
      goToFolded(target) { unfold(target); goTo(target); } }));
  }

  function fold(module) {
    for (const path of [...opened]) if (path === module || path.startsWith(`${module}.`)) opened.delete(path);
    showGraph(pane.scale);
  }

  // The extension listens and goes to the cell of the module's class.
  function openCell(path) {
    if (!data.port || path === null || path === undefined) return;
    root.dispatchEvent(new CustomEvent("t2m:open-module", { bubbles: true, composed: true,
      detail: { port: data.port, path } }));
  }

  // ------------------------------------------------------------------ what people do

  slider.addEventListener("input", () => goTo(Number(slider.value)));
  pane.svg.addEventListener("click", event => {
    const name = event.target.closest(".t2m-box")?.dataset.box;
    if (!name) return;
    if (name.startsWith("module:")) {
      opened.add(name.slice("module:".length));
      showGraph(pane.scale);
      return;
    }
    goTo(Number(name));
    openCell(data.nodes[Number(name)][4]);
  });

  function onKey(event) {
    if (event.target.tagName === "BUTTON") return;
    const move = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    goTo(Math.min(Math.max(current + move, 0), data.nodes.length - 1));
  }

  // ------------------------------------------------------------------ what Python changes

  const reread = () => {
    data = model.get("data");
    modules = modulesOf(data);
    opened = new Set(data.opened);
    asked.clear();
    current = -1;
    start();
  };
  const stepped = () => { if (model.get("step") !== current) showStep(model.get("step")); };
  const stop = comeAlive(model, root, { "change:data": reread, "change:step": stepped, "msg:custom": receive }, onKey);

  function start() {
    readEdges();
    showHead();
    showSide();
    showGraph();
    drawMlxGraph(data.mlx, mlxPane, place);
    showStep(model.get("step"));
  }
  start();
  noteTimes(root, began);
  return stop;
}

export default { render };
