// The module tree in a notebook. Python sends flat columns (tree_data.py); only the lines in
// sight are in the DOM.

const SPARE = 8; // lines kept above and below those in sight
const DEEPEST_INDENT = 24; // deeper lines keep this indent and say their depth in figures
const LOWEST = 11 * ROW, HIGHEST = 18 * ROW; // of the tree's viewport
const KEYS = "↑ ↓ move · → open · ← close · Home End · / search · n next problem · Enter details · Esc back";

function render({ model, el }) {
  const began = performance.now();
  let tree = readTree(model.get("columns"));
  let filter = null, lines = [], depths = [], current = 0, height = 0;
  let open = new Set([0]); // lines that are open without a filter
  let flipped = new Set(); // lines opened or closed by hand under a filter
  const asked = new Map(); // details that came later, by module
  const set = setterOf(model);

  const root = make("div", "t2m-tree");
  const head = make("div", "t2m-head"), bar = make("div", "t2m-bar"), notes = make("div", "t2m-notes");
  const tools = make("div", "t2m-tools"), chips = make("div", "t2m-chips");
  const search = makeSearch("search modules by path or class"), found = make("span", "t2m-dim");
  const keyLine = make("div", "t2m-note t2m-keyline", KEYS), keys = makeKeys("t2m-keys", keyLine);
  const panes = make("div", "t2m-panes"), view = make("div", "t2m-view"), canvas = make("div", "t2m-canvas");
  const detail = make("div", "t2m-detail");
  bar.setAttribute("aria-hidden", "true");
  view.tabIndex = 0; view.setAttribute("role", "tree");
  detail.tabIndex = -1; detail.setAttribute("role", "region"); detail.setAttribute("aria-label", "details");
  const name = `t2m-${Math.random().toString(36).slice(2)}`; // for aria-activedescendant
  tools.append(search, chips, found, make("span", "t2m-space"), keys);
  view.append(canvas); panes.append(view, detail);
  root.append(head, bar, notes, tools, keyLine, panes);
  el.append(root);

  const isOpen = id => {
    const node = nodeOf(id);
    if (id >= 0 && tree.first[id] < 0) return false;
    if (!filter) return open.has(id);
    // Of equal neighbours that were all found, the first shows what was found inside.
    const copy = id >= 0 && tree.run[id] >= 0 && tree.run[id] !== id;
    return (Boolean(filter.below[node] || (id < 0 && filter.shows(node))) && !copy) !== flipped.has(id);
  };
  const canOpen = id => id < 0 || (tree.first[id] >= 0 && (!filter || linesInside(tree, id, filter).length > 0));
  // Columns are as wide as what is in them; a report without measurements has no such column.
  function fitColumns() {
    const most = { shape: 15, parameters: 7, bytes: 8, difference: 8 }; // characters
    for (const [column, limit] of Object.entries(most)) {
      let wide = 0;
      for (let i = 0; i < tree.size; i++) wide = Math.max(wide, tree.text(column, i).length);
      root.style.setProperty(`--t2m-${column}`, `${Math.min(wide, limit)}ch`);
    }
  }
  const place = () => {
    for (let id = current; ; id = id < 0 ? tree.parent[nodeOf(id)] : tree.run[id] >= 0 ? foldOf(tree.run[id]) : tree.parent[id]) {
      const at = lines.indexOf(id);
      if (at >= 0) return at;
      if (nodeOf(id) <= 0) return 0;
    }
  };

  function showHeader() {
    const about = model.get("overview"), wanted = model.get("status_filter");
    head.replaceChildren(make("b", "", about.title), make("span", "t2m-facts t2m-dim"));
    about.facts.forEach((fact, k) => {
      const last = k === about.facts.length - 1;
      head.lastChild.append(make("span", "t2m-fact", last ? fact : `${fact} ·`), " ");
    });
    const score = make("span", `t2m-score t2m-${about.score_status}`);
    score.append(glyph(tree, about.score_status), about.score);
    head.append(score);
    bar.replaceChildren(...about.counts.map(([status, count]) => {
      const part = make("i");
      part.style.flexGrow = count;
      part.style.background = `var(--t2m-${status.toLowerCase()})`;
      return part;
    }));
    notes.replaceChildren(...about.notes.map(text => make("div", "t2m-note", text)));
    chips.replaceChildren(...about.counts.map(([status, count]) => {
      const chip = makeChip(wanted.includes(status), "", () => {
        const now = model.get("status_filter");
        set("status_filter", now.includes(status) ? now.filter(s => s !== status) : [...now, status]);
      });
      chip.dataset.status = status;
      chip.append(glyph(tree, status), `${status.toLowerCase()} ${count.toLocaleString("en")}`);
      chip.title = tree.columns.statuses.find(s => s[0] === status)[2];
      chip.classList.toggle("t2m-off", wanted.length > 0 && !wanted.includes(status));
      return chip;
    }));
    view.setAttribute("aria-label", `modules of ${about.title}`);
  }

  function showLines() {
    ({ lines, depths } = layOut(tree, filter, isOpen));
    canvas.style.height = `${lines.length * ROW}px`;
    // The view grows with what is opened and never shrinks: the page below stays put.
    height = Math.max(height, Math.min(Math.max(lines.length * ROW + 8, LOWEST), HIGHEST));
    root.style.setProperty("--t2m-height", `${height}px`);
    found.textContent = filter ? `${filter.count.toLocaleString("en")} found` : "";
    paint();
  }

  function paint() {
    const [from, to] = rowsInSight(view, lines.length, SPARE, height);
    const at = place(), rows = [];
    for (let k = from; k < to; k++) rows.push(drawLine(lines[k], k, k === at));
    canvas.replaceChildren(...rows);
    if (at >= from && at < to) view.setAttribute("aria-activedescendant", `${name}-${at}`);
    else view.removeAttribute("aria-activedescendant");
    root.dataset.rows = rows.length;
  }

  function drawLine(id, at, selected) {
    const node = nodeOf(id), depth = depths[at], status = tree.status(node), texts = tree.line(id);
    const row = make("div", "t2m-row");
    row.id = `${name}-${at}`;
    row.dataset.line = id;
    row.style.transform = `translateY(${at * ROW}px)`;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", depth + 1);
    row.setAttribute("aria-selected", selected);
    row.setAttribute("aria-label", [`${texts.name} ${texts.class_name}`, status.toLowerCase(), texts.alarms, texts.marks]
      .filter(Boolean).join(", "));
    if (filter && id >= 0 && !filter.match[id]) row.classList.add("t2m-context");
    const label = make("span", "t2m-label");
    label.title = [`${tree.path(node) || "the root"} · ${texts.class_name} ${texts.description}`.trim(), texts.alarms,
      texts.marks].filter(Boolean).join("\n");
    const indent = make("span", "t2m-indent");
    indent.style.width = `${Math.min(depth, DEEPEST_INDENT) * 16}px`;
    const twisty = make("span", "t2m-twisty", canOpen(id) ? (isOpen(id) ? "▾" : "▸") : "");
    if (canOpen(id)) row.setAttribute("aria-expanded", isOpen(id));
    label.append(indent, twisty, glyph(tree, status));
    if (depth > DEEPEST_INDENT) label.append(make("span", "t2m-dim", `⋯${depth} `));
    label.append(make("span", "t2m-name", texts.name), " ",
      make("span", "t2m-dim", `${texts.class_name} ${texts.description}`.trim()));
    if (texts.badge) label.append(" ", make("span", "t2m-badge", texts.badge));
    if (texts.alarms) label.append(" ", make("span", "t2m-mark t2m-DIVERGES", texts.alarms));
    if (texts.marks) label.append(" ", make("span", "t2m-mark", texts.marks));
    const bytes = make("span", "t2m-right t2m-dim t2m-bytes", texts.bytes);
    const parameters = make("span", "t2m-right t2m-dim", texts.parameters);
    parameters.title = texts.bytes;
    row.append(label, make("span", "t2m-dim", texts.shape), parameters, bytes,
      make("span", `t2m-right t2m-${status}`, texts.difference));
    return row;
  }

  function showDetail() {
    const node = nodeOf(current), known = tree.columns.detail[node];
    const facts = known >= 0 ? tree.columns.details[known] : asked.get(node);
    if (!facts) model.send({ detail: node });
    detail.replaceChildren(...drawDetail(tree, current, facts, model.get("overview").missing, goTo));
    detail.scrollTop = 0;
  }

  // -------------------------------------------------------------- moving about

  function select(id, tell = true) {
    current = id;
    const path = tree.path(nodeOf(id));
    if (tell && model.get("selected") !== path) set("selected", path);
    const at = place();
    bringIntoSight(view, at, 8);
    paint();
    showDetail();
  }

  function toggle(id) {
    if (!canOpen(id)) return;
    const set = filter ? flipped : open;
    if (!set.delete(id)) set.add(id);
    showLines();
  }

  // Opens everything above a module, the folds it is in included.
  function reveal(node) {
    for (let i = node; i >= 0; i = tree.parent[i]) {
      if (tree.run[i] >= 0) open.add(foldOf(tree.run[i]));
      if (tree.parent[i] >= 0) open.add(tree.parent[i]);
    }
  }

  function goTo(node, tell = true) {
    if (node < 0) return;
    if (filter && !lines.includes(node)) {
      search.value = "";
      if (tell) { model.set("search", ""); model.set("status_filter", []); model.save_changes(); }
      filter = null;
      showHeader();
    }
    if (!filter) reveal(node);
    showLines();
    select(node, tell);
  }

  function nextProblem() {
    const start = nodeOf(current);
    for (let k = 1; k <= tree.size; k++) {
      const i = (start + k) % tree.size;
      if (tree.columns.origin[i] && !tree.copy[i] && (!filter || filter.match[i])) return goTo(i);
    }
  }

  const moves = {
    ArrowDown: at => select(lines[Math.min(at + 1, lines.length - 1)]),
    ArrowUp: at => select(lines[Math.max(at - 1, 0)]),
    PageDown: at => select(lines[Math.min(at + Math.floor(height / ROW) - 1, lines.length - 1)]),
    PageUp: at => select(lines[Math.max(at - Math.floor(height / ROW) + 1, 0)]),
    Home: () => select(lines[0]),
    End: () => select(lines[lines.length - 1]),
    ArrowRight(at) {
      if (!canOpen(lines[at])) return;
      if (!isOpen(lines[at])) toggle(lines[at]); else select(lines[Math.min(at + 1, lines.length - 1)]);
    },
    ArrowLeft(at) {
      if (canOpen(lines[at]) && isOpen(lines[at])) return toggle(lines[at]);
      let up = at - 1;
      while (up > 0 && depths[up] >= depths[at]) up--;
      select(lines[Math.max(up, 0)]);
    },
    " ": at => toggle(lines[at]),
    "/": () => { search.focus(); search.select(); },
    n: nextProblem,
    Enter: () => { detail.focus(); detail.scrollIntoView({ block: "nearest" }); },
    Escape: () => { if (filter) clearFilter(); else view.blur(); },
  };

  function clearFilter() {
    search.value = "";
    model.set("search", "");
    set("status_filter", []);
  }

  function onKey(event) {
    if (event.target === view && moves[event.key]) {
      event.preventDefault();
      moves[event.key](place());
    } else if (event.target === search && ["Enter", "ArrowDown", "Escape"].includes(event.key)) {
      event.preventDefault();
      if (event.key === "Escape") clearFilter();
      else if (filter) { const hit = lines.find(id => id >= 0 && filter.match[id]); if (hit !== undefined) select(hit); }
      view.focus();
    } else if (event.key === "Escape" && detail.contains(event.target)) {
      view.focus();
    }
  }

  canvas.addEventListener("click", event => {
    const row = event.target.closest(".t2m-row");
    if (!row) return;
    const id = Number(row.dataset.line);
    if (event.target.classList.contains("t2m-twisty")) toggle(id);
    select(id);
  });
  canvas.addEventListener("dblclick", event => {
    const row = event.target.closest(".t2m-row");
    if (row && !event.target.classList.contains("t2m-twisty")) toggle(Number(row.dataset.line));
  });
  view.addEventListener("scroll", paint, { passive: true });
  search.addEventListener("input", () => set("search", search.value));
  const size = new ResizeObserver(paint);
  size.observe(view);

  // -------------------------------------------------------------- what Python changes

  function refilter() {
    filter = applyFilter(tree, model.get("search"), model.get("status_filter"));
    flipped = new Set();
    if (search.value !== model.get("search")) search.value = model.get("search");
    view.scrollTop = 0;
    showHeader();
    showLines();
  }
  function reselect() {
    const path = model.get("selected");
    if (tree.path(nodeOf(current)) !== path) goTo(tree.find(path), false);
  }
  function reread() {
    const names = id => [tree.path(nodeOf(id)), id < 0];
    const wasOpen = [...open].map(names), was = names(current), before = view.scrollTop;
    tree = readTree(model.get("columns"));
    asked.clear();
    const back = ([path, fold]) => {
      const i = tree.find(path);
      return i < 0 || (fold && tree.run[i] !== i) ? undefined : fold ? foldOf(i) : i;
    };
    open = new Set(wasOpen.map(back).filter(id => id !== undefined));
    current = back(was) ?? Math.max(tree.find(was[0]), 0);
    fitColumns();
    refilter();
    view.scrollTop = before;
    showDetail();
  }
  function receive(message) {
    asked.set(message.index, message.detail);
    if (message.index === nodeOf(current)) showDetail();
  }
  const stop = comeAlive(model, root, { "change:columns": reread, "change:overview": showHeader,
    "change:selected": reselect, "change:search": refilter, "change:status_filter": refilter, "msg:custom": receive }, onKey);

  // -------------------------------------------------------------- first paint

  // Open what leads to the first problem, and single children: a model in a wrapper shows itself.
  for (let id = 0; linesInside(tree, id, null).length === 1 && id >= 0 && open.size < 8;) {
    open.add(id);
    id = linesInside(tree, id, null)[0];
  }
  const worst = Array.from({ length: tree.size }, (_, i) => i).find(i => tree.columns.origin[i] && tree.status(i) === tree.status(0));
  if (worst > 0) reveal(worst);
  // A checkpoint is something that somebody waits to see.
  for (let i = 1, left = 24; i < tree.size && left; i++) {
    if (tree.copy[i] || !(tree.text("marks", i) || tree.text("alarms", i))) continue;
    left--;
    reveal(tree.parent[i]);
    open.add(tree.parent[i]);
  }
  const wished = tree.find(model.get("selected"));
  if (wished > 0) { reveal(wished); current = wished; }
  fitColumns();
  refilter();
  if (current) select(current, false); else showDetail();
  noteTimes(root, began);

  return () => {
    stop();
    size.disconnect();
  };
}

export default { render };
