// The module tree in a notebook. Python sends flat columns (tree_data.py); only the lines in
// sight are in the DOM. Text reaches the page through textContent alone, never as HTML.

const ROW = 24; // height of a line in CSS pixels, as in tree.css
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

  const root = make("div", "t2m-tree");
  const head = make("div", "t2m-head"), bar = make("div", "t2m-bar"), notes = make("div", "t2m-notes");
  const tools = make("div", "t2m-tools"), search = make("input"), chips = make("div", "t2m-chips");
  const found = make("span", "t2m-dim"), keys = make("button", "t2m-keys", "keys");
  const keyLine = make("div", "t2m-note t2m-keyline", KEYS);
  const panes = make("div", "t2m-panes"), view = make("div", "t2m-view"), canvas = make("div", "t2m-canvas");
  const detail = make("div", "t2m-detail");
  search.type = "search"; search.placeholder = "search"; search.spellcheck = false;
  search.setAttribute("aria-label", "search modules by path or class");
  bar.setAttribute("aria-hidden", "true");
  keys.type = "button"; keys.title = KEYS; keyLine.hidden = true;
  keys.addEventListener("click", () => { keyLine.hidden = !keyLine.hidden; });
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
      const chip = make("button", "t2m-chip");
      chip.type = "button";
      chip.dataset.status = status;
      chip.append(glyph(tree, status), `${status.toLowerCase()} ${count.toLocaleString("en")}`);
      chip.title = tree.columns.statuses.find(s => s[0] === status)[2];
      chip.classList.toggle("t2m-off", wanted.length > 0 && !wanted.includes(status));
      chip.setAttribute("aria-pressed", wanted.includes(status));
      chip.addEventListener("click", () => {
        const now = model.get("status_filter");
        set("status_filter", now.includes(status) ? now.filter(s => s !== status) : [...now, status]);
      });
      return chip;
    }));
    view.setAttribute("aria-label", `modules of ${about.title}`);
  }

  function set(trait, value) {
    model.set(trait, value);
    model.save_changes();
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
    const from = Math.max(0, Math.floor(view.scrollTop / ROW) - SPARE);
    const to = Math.min(lines.length, from + Math.ceil((view.clientHeight || height) / ROW) + 2 * SPARE);
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
    row.setAttribute("aria-label", `${texts.name} ${texts.class_name}, ${status.toLowerCase()}`);
    if (filter && id >= 0 && !filter.match[id]) row.classList.add("t2m-context");
    const label = make("span", "t2m-label");
    label.title = `${tree.path(node) || "the root"} · ${texts.class_name} ${texts.description}`.trim();
    const indent = make("span", "t2m-indent");
    indent.style.width = `${Math.min(depth, DEEPEST_INDENT) * 16}px`;
    const twisty = make("span", "t2m-twisty", canOpen(id) ? (isOpen(id) ? "▾" : "▸") : "");
    if (canOpen(id)) row.setAttribute("aria-expanded", isOpen(id));
    label.append(indent, twisty, glyph(tree, status));
    if (depth > DEEPEST_INDENT) label.append(make("span", "t2m-dim", `⋯${depth} `));
    label.append(make("span", "t2m-name", texts.name), " ",
      make("span", "t2m-dim", `${texts.class_name} ${texts.description}`.trim()));
    if (texts.badge) label.append(" ", make("span", "t2m-badge", texts.badge));
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
    if (at * ROW < view.scrollTop) view.scrollTop = at * ROW;
    else if ((at + 1) * ROW + 8 > view.scrollTop + view.clientHeight) view.scrollTop = (at + 1) * ROW + 8 - view.clientHeight;
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

  root.addEventListener("keydown", event => {
    event.stopPropagation(); // the notebook has its own use for n, /, arrows and Enter
    if (event.ctrlKey || event.metaKey || event.altKey) return;
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
  });
  // JupyterLab listens before the page does, and looks for this attribute. Its shortcuts
  // with Ctrl, Cmd or Alt, such as saving, go on working.
  const guard = event => {
    if (event.ctrlKey || event.metaKey || event.altKey) delete root.dataset.lmSuppressShortcuts;
    else root.dataset.lmSuppressShortcuts = "true";
  };
  window.addEventListener("keydown", guard, true);
  root.dataset.lmSuppressShortcuts = "true";

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
  const listeners = { "change:columns": reread, "change:overview": showHeader, "change:selected": reselect,
    "change:search": refilter, "change:status_filter": refilter, "msg:custom": receive };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);

  // The static tree of the same cell is for readers without a kernel: this one takes its place.
  const hideTwin = () => {
    const selector = `[data-t2m-twin="${CSS.escape(model.get("twin"))}"]`;
    for (const twin of document.querySelectorAll(selector)) twin.hidden = true;
  };
  const tries = [0, 100, 500, 2000].map(later => setTimeout(hideTwin, later)); // it may come after this

  // -------------------------------------------------------------- first paint

  // Open what leads to the first problem, and single children: a model in a wrapper shows itself.
  for (let id = 0; linesInside(tree, id, null).length === 1 && id >= 0 && open.size < 8;) {
    open.add(id);
    id = linesInside(tree, id, null)[0];
  }
  const worst = Array.from({ length: tree.size }, (_, i) => i).find(i => tree.columns.origin[i] && tree.status(i) === tree.status(0));
  if (worst > 0) reveal(worst);
  const wished = tree.find(model.get("selected"));
  if (wished > 0) { reveal(wished); current = wished; }
  fitColumns();
  refilter();
  if (current) select(current, false); else showDetail();
  root.dataset.buildMs = (performance.now() - began).toFixed(1);
  requestAnimationFrame(() => setTimeout(() => { root.dataset.paintMs = (performance.now() - began).toFixed(1); }));

  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    window.removeEventListener("keydown", guard, true);
    size.disconnect();
    tries.forEach(clearTimeout);
  };
}

export default { render };
