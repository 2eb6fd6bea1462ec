// The pane beside the tree: what runs inside a module, what maps to what, and why it has its status.

const PROBLEMS = new Set(["PARTIAL", "DIVERGES", "REFUSED", "MISSING"]);

function glyph(tree, status) {
  const [name, mark, meaning] = tree.columns.statuses.find(s => s[0] === status);
  const element = make("span", `t2m-glyph t2m-${name}`, mark);
  element.title = `${name.toLowerCase()}: ${meaning}`;
  return element;
}

// What a line opens to, as elements. `facts` is undefined until Python has sent them;
// `goTo(module)` moves the selection.
function drawDetail(tree, line, facts, missing, goTo) {
  const node = nodeOf(line);
  const path = tree.path(node), status = tree.status(node), parts = [];
  const title = make("div", "t2m-title");
  title.append(make("b", "", path || tree.text("name", node)));
  if (line < 0) title.append(make("span", "t2m-dim", ` and ${tree.members(node).length - 1} equal to it ·`));
  const where = facts ? facts.where : "asking the kernel for the details …";
  title.append(" ", make("span", "t2m-dim", [tree.text("class_name", node), where].filter(Boolean).join(" · ")));
  title.lastChild.title = [facts?.module, facts?.file].filter(Boolean).join("\n");
  parts.push(title, verdict(tree, line, facts));
  if (facts?.description) parts.push(make("div", "t2m-mono t2m-dim", facts.description));
  for (const [text, bad] of facts?.checkpoints ?? []) {
    parts.push(make("div", `t2m-mono t2m-mark${bad ? " t2m-DIVERGES" : ""}`, `◆ ${text}`));
  }
  if (facts?.shared !== undefined) {
    const same = make("div", "t2m-plain", "the same module as ");
    same.append(link(facts.shared || "the root", () => goTo(tree.find(facts.shared))));
    parts.push(same);
  }
  if (facts?.operations) parts.push(operations(tree, node, facts.operations, goTo));
  if (facts?.inputs || facts?.outputs) {
    parts.push(make("div", "t2m-mono t2m-dim",
      `${(facts.inputs ?? []).join(", ")} → ${(facts.outputs ?? []).join(", ")}`.trim()));
  }
  if (facts?.parameters) parts.push(parameters(tree, facts.parameters, goTo));
  if (facts?.total) parts.push(make("div", "t2m-mono t2m-dim", facts.total));
  if (node === 0) parts.push(...missing.map(item => obstacle(tree, item, goTo)));
  return parts;
}

function verdict(tree, line, facts) {
  const status = tree.status(nodeOf(line));
  const box = make("div", `t2m-verdict t2m-box-${status}`);
  const difference = tree.line(line).difference;
  const meaning = tree.columns.statuses.find(s => s[0] === status)[2];
  box.append(glyph(tree, status), make("span", "", facts?.reason || meaning));
  if (difference && !(facts?.reason ?? "").includes(difference)) {
    box.append(make("span", "t2m-space"), make("span", "t2m-mono", `max|Δ| ${difference}`));
  }
  return box;
}

function operations(tree, node, list, goTo) {
  const table = make("div", "t2m-map");
  for (const [status, source, mlx, lineNumber, reason, child, torchName, output] of list) {
    const kind = tree.columns.statuses[status][0];
    const from = make("span");
    const target = child ? tree.find(tree.path(node) ? `${tree.path(node)}.${child}` : child) : -1;
    const inside = target >= 0 ? target : child ? tree.find(child) : -1;
    if (inside > 0) from.append(link(source, () => goTo(inside))); else from.textContent = source;
    from.title = [torchName, output].filter(Boolean).join(" → ");
    table.append(glyph(tree, kind), from, make("span", "t2m-dim", mlx ? "→" : ""), make("span", "", mlx),
      make("span", "t2m-right t2m-dim", lineNumber));
    if (reason && PROBLEMS.has(kind)) table.append(make("span", "t2m-why", reason));
  }
  return table;
}

function parameters(tree, list, goTo) {
  const table = make("div", "t2m-parameters");
  for (const [name, shape, dtype, bytes, note, tied] of list) {
    const last = make("span", "t2m-dim", note);
    if (tied) {
      const owner = tree.find(tied.slice(0, Math.max(tied.lastIndexOf("."), 0)));
      last.append(note ? ", " : "", "tied to ", owner >= 0 ? link(tied, () => goTo(owner)) : tied);
    }
    table.append(make("span", "", name), make("span", "t2m-dim", shape), make("span", "t2m-dim", dtype),
      make("span", "t2m-right t2m-dim", bytes), last);
  }
  return table;
}

function obstacle(tree, item, goTo) {
  const box = make("div", "t2m-obstacle"), line = make("div");
  line.append(glyph(tree, item.status), make("b", "t2m-mono", item.name), make("span", "t2m-dim", ` ${item.calls}`));
  if (item.reason) line.append(make("span", "t2m-dim", ": "), make("span", "", item.reason));
  const places = make("div", "t2m-mono t2m-dim", "in ");
  item.paths.forEach((path, k) => {
    places.append(k ? ", " : "", link(path || "the root", () => goTo(tree.find(path))));
  });
  if (item.more) places.append(` and ${item.more} more`);
  if (item.source || item.where) places.append(` · ${[item.source, item.where].filter(Boolean).join(" · ")}`);
  box.append(line, places);
  return box;
}
