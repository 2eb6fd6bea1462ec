// A trace in a notebook. Python sends flat columns (trace_data.py); only the rows in sight are in
// the DOM. Text reaches the page through textContent alone; the one thing parsed is the memory
// picture, which Python draws from numbers.

const SPARE = 10; // rows kept above and below those in sight
const LOWEST = 8 * ROW, HIGHEST = 16 * ROW; // of the viewport
const SHAPE_CHANGE = 1, COPY = 2, STRANGE = 4, STRANGE_MLX = 8, BAD_VALUES = 16;
const KEYS = "↑ ↓ move · Home End · / search · n next difference or problem · Esc back";
const PROBLEMS = new Set(["DIVERGES", "MISSING", "REFUSED"]);
const WIDTH = { "#": 6, line: 18, module: 26, shape: 16, stride: 20, memory: 26, values: 34, "max|Δ|": 8 }; // at most

function render({ model, el }) {
  const began = performance.now();
  let data = model.get("columns"), rows = [], haystack = null;
  const details = new Map();
  const root = make("div", "t2m-trace"), head = make("div", "t2m-head"), notes = make("div");
  const search = makeSearch("search operations by name, line, module or expression");
  const tools = make("div", "t2m-tools"), modules = make("select"), chips = make("div", "t2m-chips");
  const found = make("span", "t2m-dim"), keyLine = make("div", "t2m-note", KEYS), keys = makeKeys("t2m-dim", keyLine);
  const table = make("div", "t2m-table"), wide = make("div", "t2m-wide"), heads = make("div", "t2m-heads");
  const view = make("div", "t2m-view"), canvas = make("div", "t2m-canvas"), detail = make("div", "t2m-detail");
  modules.setAttribute("aria-label", "show the operations of one module");
  view.tabIndex = 0; view.setAttribute("role", "grid"); view.setAttribute("aria-label", "operations");
  detail.tabIndex = -1; detail.hidden = true; detail.setAttribute("role", "region"); detail.setAttribute("aria-label", "details");
  const name = `t2m-${Math.random().toString(36).slice(2)}`; // for aria-activedescendant
  tools.append(search, modules, chips, found, make("span", "t2m-space"), keys);
  view.append(canvas); wide.append(heads, view); table.append(wide);
  root.append(head, notes, tools, keyLine, table, detail);
  el.append(root);

  const text = (column, i) => data.strings[data.cells[column][i]];
  const status = i => data.statuses[data.status[i]][0];
  const size = () => data.status.length;
  const measured = () => data.status.some(s => data.statuses[s][0] !== "UNSEEN");
  const set = setterOf(model);

  function showHeader() {
    const about = model.get("overview");
    const score = make("span", `t2m-score t2m-${about.score_status}`);
    if (about.score) score.append(`${data.statuses.find(s => s[0] === about.score_status)[1]} ${about.score}`);
    head.replaceChildren(make("b", "", about.title), make("span", "t2m-facts t2m-dim", about.facts.join(" · ")), score);
    notes.replaceChildren(...about.notes.map(note => make("div", "t2m-note", note)));
    if (about.error.length) notes.append(make("div", "t2m-error t2m-DIVERGES", about.error.join("\n")));
  }

  function showChips() {
    const wanted = model.get("status_filter"), counts = new Map();
    for (let i = 0; i < size(); i++) counts.set(status(i), (counts.get(status(i)) ?? 0) + 1);
    const made = [];
    if (measured()) {
      for (const [kind, glyph, meaning] of data.statuses) {
        if (!counts.has(kind)) continue;
        const chip = makeChip(wanted.includes(kind), "", () => {
          const now = model.get("status_filter");
          set("status_filter", now.includes(kind) ? now.filter(s => s !== kind) : [...now, kind]);
        });
        chip.dataset.status = kind;
        chip.title = kind === "UNSEEN" ? "not compared: on one side alone" : meaning;
        chip.append(make("span", `t2m-glyph t2m-${kind}`, glyph), `${kind === "UNSEEN" ? "one side" : kind.toLowerCase()} ${counts.get(kind).toLocaleString("en")}`);
        chip.classList.toggle("t2m-off", wanted.length > 0 && !wanted.includes(kind));
        made.push(chip);
      }
    }
    for (const [trait, bit, words, title] of [["shape_change", SHAPE_CHANGE, "shape changes", "results with the shape of no input"],
      ["copies", COPY, "copies", "results with memory of their own"]]) {
      const chip = makeChip(model.get(trait), "", () => set(trait, !model.get(trait)));
      chip.dataset.filter = trait;
      chip.title = title;
      chip.append(`${words} ${data.flags.filter(f => f & bit).length.toLocaleString("en")}`);
      made.push(chip);
    }
    chips.replaceChildren(...made);
  }

  // Every module that ran something, and those above it.
  function showModules() {
    const paths = new Set();
    for (const index of new Set(data.module)) {
      for (let path = data.strings[index]; path; path = path.slice(0, Math.max(path.lastIndexOf("."), 0))) paths.add(path);
    }
    const options = [["", "every module"], ...[...paths].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).map(p => [p, p])];
    modules.replaceChildren(...options.map(([value, words]) => { const o = make("option", "", words); o.value = value; return o; }));
    modules.value = model.get("module");
    modules.hidden = paths.size < 2;
  }

  function fitColumns() {
    const tracks = [];
    let least = 24;
    data.heads.forEach((title, column) => {
      let most = title.trim().length + 1; // heads are in another font
      for (const index of new Set(data.cells[column])) most = Math.max(most, data.strings[index].length);
      const kind = title.trim(), limit = WIDTH[kind];
      if (!title) { tracks.push("14px"); least += 26; return; }
      // Of two sides, what is written is told before where it lies: that is in the detail, and bold strides say it.
      const room = Math.min(most, data.paired && kind === "memory" ? 13 : limit ?? 70);
      if (limit && !["memory", "values", "module"].includes(kind)) { tracks.push(`${room}ch`); least += room * 7.3 + 12; return; }
      const narrow = Math.min(room, limit ? 9 : 15);
      tracks.push(`minmax(${narrow}ch, ${limit ? `${room}ch` : `${room}fr`})`);
      least += narrow * 7.3 + 12;
    });
    root.style.setProperty("--t2m-columns", tracks.join(" "));
    root.style.setProperty("--t2m-least", `${Math.ceil(least)}px`);
    heads.replaceChildren(...data.heads.map(title => make("span", look(title), title.trim())));
  }
  const look = title => [title === "#" || title === "max|Δ|" ? "t2m-right" : "", data.paired && title === "MLX" ? "t2m-second" : ""].join(" ").trim();

  function refilter() {
    const query = model.get("search").trim().toLowerCase(), path = model.get("module"), wanted = new Set(model.get("status_filter"));
    const bits = (model.get("shape_change") ? SHAPE_CHANGE : 0) | (model.get("copies") ? COPY : 0);
    if (query && !haystack) {
      haystack = Array.from({ length: size() }, (_, i) => [...data.cells.map((_, c) => text(c, i)),
        data.strings[data.module[i]], data.strings[data.name[i]], data.strings[data.remark[i]]].join(" ").toLowerCase());
    }
    rows = [];
    for (let i = 0; i < size(); i++) {
      const module = data.strings[data.module[i]];
      if ((data.flags[i] & bits) === bits && (!wanted.size || wanted.has(status(i))) && (!query || haystack[i].includes(query))
        && (!path || module === path || module.startsWith(`${path}.`))) rows.push(i);
    }
    if (search.value !== model.get("search")) search.value = model.get("search");
    modules.value = path;
    found.textContent = rows.length === size() ? "" : `${rows.length.toLocaleString("en")} of ${size().toLocaleString("en")}`;
    canvas.style.height = `${rows.length * ROW}px`;
    root.style.setProperty("--t2m-height", `${Math.min(Math.max(size() * ROW, LOWEST), HIGHEST)}px`);
    view.scrollTop = 0;
    showChips();
    paint();
  }

  function paint() {
    const [from, to] = rowsInSight(view, rows.length, SPARE, HIGHEST);
    const at = rows.indexOf(model.get("selected")), made = [];
    for (let k = from; k < to; k++) made.push(drawRow(rows[k], k, k === at));
    canvas.replaceChildren(...made);
    view.setAttribute("aria-rowcount", rows.length);
    if (at >= from && at < to) view.setAttribute("aria-activedescendant", `${name}-${at}`);
    else view.removeAttribute("aria-activedescendant");
    root.dataset.rows = made.length;
  }

  function drawRow(i, at, selected) {
    const row = make("div", "t2m-row");
    row.id = `${name}-${at}`;
    row.dataset.row = i;
    row.style.transform = `translateY(${at * ROW}px)`;
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", at + 1);
    row.setAttribute("aria-selected", selected);
    const remark = data.strings[data.remark[i]];
    data.heads.forEach((title, column) => {
      const words = text(column, i), cell = make("span", `${look(title)} ${shade(title, i)}`.trim(), words);
      cell.setAttribute("role", "gridcell");
      cell.title = title === "" ? (remark || data.statuses[data.status[i]][2]) : words;
      row.append(cell);
    });
    return row;
  }

  function shade(title, i) {
    const flags = data.flags[i];
    if (title === "") return `t2m-glyph t2m-${status(i)}`;
    if (title === "max|Δ|") return `t2m-${status(i)}`;
    if ((title === "stride" && flags & STRANGE) || (title === "stride " && flags & STRANGE_MLX)) return "t2m-strange";
    if (title === "values" && flags & BAD_VALUES) return "t2m-bad";
    return ["torch", "operation"].includes(title) || (title === "MLX" && data.paired && text(data.heads.indexOf("shape "), i)) ? "" : "t2m-dim";
  }

  // -------------------------------------------------------------- what a row opens to

  function showDetail() {
    const i = model.get("selected"), facts = details.get(i);
    if (i < 0 || i >= size()) { detail.hidden = true; return; }
    if (!facts) { model.send({ detail: i }); return; }
    const sides = make("div", "t2m-sides");
    for (const side of facts.sides) {
      const box = make("div"), title = make("div"), tensors = make("div", "t2m-tensors");
      const where = make("span", "t2m-dim", [side.path, side.where].filter(Boolean).map(w => ` · ${w}`).join(""));
      where.title = side.file;
      const operation = make("b", "", side.name);
      operation.title = side.full;
      title.append(make("span", "t2m-dim", `${side.framework} `), operation, where);
      for (const line of side.tensors) line.forEach((words, k) => tensors.append(make("span", k === 1 || k === 2 ? "" : "t2m-dim", words)));
      box.append(title, make("div", "t2m-mono", side.source), tensors);
      sides.append(box);
    }
    const pictures = make("div", "t2m-pictures");
    for (const picture of facts.pictures) {
      const box = make("div");
      box.append(...new DOMParser().parseFromString(picture, "text/html").body.childNodes);
      pictures.append(box);
    }
    const remarks = facts.notes.map((note, k) => {
      const line = make("div", "t2m-remark t2m-dim");
      if (!k && note.startsWith("max|Δ|")) line.append(make("span", `t2m-glyph t2m-${facts.status}`, facts.glyph), " ");
      line.append(note);
      return line;
    });
    detail.replaceChildren(sides, ...remarks, pictures);
    detail.hidden = false;
    detail.scrollTop = 0;
  }

  // -------------------------------------------------------------- moving about

  function select(at) {
    if (at < 0 || at >= rows.length) return;
    bringIntoSight(view, at);
    set("selected", rows[at]);
  }
  function nextProblem(at) {
    for (let k = 1; k <= rows.length; k++) {
      const next = (Math.max(at, -1) + k) % rows.length;
      if (PROBLEMS.has(status(rows[next])) || data.flags[rows[next]] & BAD_VALUES) return select(next);
    }
  }
  const page = () => Math.floor(view.clientHeight / ROW) - 1;
  const moves = {
    ArrowDown: at => select(Math.min(at + 1, rows.length - 1)), ArrowUp: at => select(Math.max(at - 1, 0)),
    PageDown: at => select(Math.min(at + page(), rows.length - 1)), PageUp: at => select(Math.max(at - page(), 0)),
    Home: () => select(0), End: () => select(rows.length - 1),
    Enter: () => { detail.focus(); detail.scrollIntoView({ block: "nearest" }); },
    "/": () => { search.focus(); search.select(); }, n: nextProblem,
    Escape: () => { if (rows.length < size()) clearFilter(); else view.blur(); },
  };
  function clearFilter() {
    for (const [trait, value] of [["search", ""], ["module", ""], ["status_filter", []], ["shape_change", false], ["copies", false]]) model.set(trait, value);
    model.save_changes();
  }
  function onKey(event) {
    if (event.target === view && moves[event.key]) {
      event.preventDefault();
      moves[event.key](rows.indexOf(model.get("selected")));
    } else if (event.target === search && ["Enter", "ArrowDown", "Escape"].includes(event.key)) {
      event.preventDefault();
      if (event.key === "Escape") set("search", ""); else select(0);
      view.focus();
    } else if (event.key === "Escape" && detail.contains(event.target)) view.focus();
  }

  canvas.addEventListener("click", event => {
    const row = event.target.closest(".t2m-row");
    if (!row) return;
    const i = Number(row.dataset.row);
    set("selected", model.get("selected") === i && !detail.hidden ? -1 : i);
  });
  view.addEventListener("scroll", paint, { passive: true });
  search.addEventListener("input", () => set("search", search.value));
  modules.addEventListener("change", () => set("module", modules.value));
  const watch = new ResizeObserver(paint);
  watch.observe(view);

  // -------------------------------------------------------------- what Python changes

  const reread = () => { data = model.get("columns"); haystack = null; details.clear(); showModules(); fitColumns(); refilter(); showDetail(); };
  const reselect = () => { paint(); showDetail(); };
  const receive = message => { details.set(message.index, message.detail); if (message.index === model.get("selected")) showDetail(); };
  const listeners = { "change:columns": reread, "change:overview": showHeader, "change:selected": reselect, "msg:custom": receive };
  for (const trait of ["search", "module", "status_filter", "shape_change", "copies"]) listeners[`change:${trait}`] = refilter;
  const stop = comeAlive(model, root, listeners, onKey);

  showHeader();
  showModules();
  fitColumns();
  refilter();
  showDetail();
  noteTimes(root, began);
  return () => {
    stop();
    watch.disconnect();
  };
}

export default { render };
