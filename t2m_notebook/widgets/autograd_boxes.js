// What is drawn of a graph: modules folded to one box each, and a pane that draws, moves and zooms.

const BOX = 46, CHARACTER = 6.8, SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The modules of a graph: path -> {path, nodes, inside}. Nodes of no module are the root's.
function modulesOf(data) {
  const root = { path: "", nodes: [], inside: new Map() };
  data.nodes.forEach((node, index) => {
    let group = root;
    for (const part of node[4] ? node[4].split(".") : []) {
      if (!group.inside.has(part)) {
        group.inside.set(part, { path: group.path ? `${group.path}.${part}` : part, nodes: [], inside: new Map() });
      }
      group = group.inside.get(part);
    }
    group.nodes.push(index);
  });
  return root;
}

const membersOf = group => [...group.nodes, ...[...group.inside.values()].flatMap(membersOf)];

// Boxes (name -> members), the box of each node, and edges between boxes.
function foldGraph(data, root, opened) {
  const boxes = new Map(), boxOf = new Array(data.nodes.length), stack = [root];
  while (stack.length) {
    const group = stack.pop();
    if (group.path && !opened.has(group.path)) {
      const name = `module:${group.path}`, members = membersOf(group);
      boxes.set(name, members);
      for (const index of members) boxOf[index] = name;
      continue;
    }
    for (const index of group.nodes) { boxes.set(String(index), [index]); boxOf[index] = String(index); }
    stack.push(...group.inside.values());
  }
  const last = new Map([...boxes].map(([name, members]) => [name, members.reduce((a, b) => Math.max(a, b), -1)]));
  const isLeaf = name => boxes.get(name).length === 1 && data.nodes[boxes.get(name)[0]][3] === "t2m-leaf";
  const order = [...boxes.keys()].sort((a, b) => isLeaf(a) - isLeaf(b)
    || (isLeaf(a) ? last.get(a) - last.get(b) : last.get(b) - last.get(a)));
  const edges = new Map();
  data.edges.forEach(([consumer, producer], k) => {
    const tail = boxOf[producer], head = boxOf[consumer];
    const forwards = boxes.get(tail).length === 1 && boxes.get(head).length === 1
      || last.get(tail) > last.get(head) || (last.get(tail) === last.get(head) && tail > head);
    if (tail === head || !forwards) return;
    const key = `${tail}\0${head}`;
    if (!edges.has(key)) edges.set(key, { tail, head, members: [] });
    edges.get(key).members.push(k);
  });
  return { boxes: new Map(order.map(name => [name, boxes.get(name)])), boxOf, edges };
}

function groupText(data, name, members) {
  const leaves = members.filter(index => data.nodes[index][3] === "t2m-leaf").length, ops = members.length - leaves;
  const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
  return [name.slice("module:".length), count(ops, "op") + (leaves ? ` · ${count(leaves, "parameter")}` : "")];
}

// A pane with a drawing that can be dragged, zoomed with Ctrl and the wheel, and scrolled to a place.
class Pane {
  constructor(label) {
    this.root = make("div", "t2m-pane");
    this.svg = draw("svg", { class: "t2m-graph", role: "img", "aria-label": label });
    this.root.append(this.svg);
    this.scale = 1;
    this.size = [0, 0];
    let from = null;
    this.root.addEventListener("pointerdown", event => {
      if (event.button || event.target.closest(".t2m-box")) return;
      from = [event.clientX + this.root.scrollLeft, event.clientY + this.root.scrollTop];
      this.root.setPointerCapture(event.pointerId);
    });
    this.root.addEventListener("pointermove", event => {
      if (!from) return;
      this.root.scrollLeft = from[0] - event.clientX;
      this.root.scrollTop = from[1] - event.clientY;
    });
    for (const end of ["pointerup", "pointercancel"]) this.root.addEventListener(end, () => { from = null; });
    this.root.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(this.scale * Math.exp(-event.deltaY / 300));
    }, { passive: false });
  }

  show(children, width, height, scale) {
    this.size = [width + 24, height + 24];
    this.svg.replaceChildren(...children);
    this.svg.setAttribute("viewBox", `-12 -12 ${this.size[0]} ${this.size[1]}`);
    this.zoom(scale ?? this.fitting());
  }

  // A scale at which the drawing fits, but text stays readable; what doesn't fit then is scrolled to.
  fitting() {
    const room = [this.root.clientWidth || 1000, 460];
    return Math.min(1, Math.max(0.8, Math.min(room[0] / this.size[0], room[1] / this.size[1])));
  }

  zoom(scale) {
    const old = this.scale, view = this.root;
    this.scale = Math.min(2.5, Math.max(0.05, scale));
    const centre = [(view.scrollLeft + view.clientWidth / 2) / old, (view.scrollTop + view.clientHeight / 2) / old];
    this.svg.setAttribute("width", this.size[0] * this.scale);
    this.svg.setAttribute("height", this.size[1] * this.scale);
    view.scrollLeft = centre[0] * this.scale - view.clientWidth / 2;
    view.scrollTop = centre[1] * this.scale - view.clientHeight / 2;
  }

  // Brings a box into sight.
  reveal([x, y], [w, h]) {
    const view = this.root, s = this.scale, margin = 40;
    const into = (from, until, at, size) => from < at + margin ? from - margin
      : until > at + size - margin ? until - size + margin : at;
    view.scrollLeft = into((x + 12) * s, (x + w + 12) * s, view.scrollLeft, view.clientWidth);
    view.scrollTop = into((y + 12) * s, (y + h + 12) * s, view.scrollTop, view.clientHeight);
  }
}

const pathText = points => `M${points[0].join(" ")}C${points.slice(1).map(point => point.join(" ")).join(" ")}`;
