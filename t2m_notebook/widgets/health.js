// The health view: what was found, and every tensor on the scale of its dtype. Plain ESM, no bundler.
const SPARE = 10; // rows kept above and below those in sight
const HIGHEST = 340; // of the rows' viewport
const CHARACTER = 7.3; // width of a character of a row in CSS pixels

function render({ model, el }) {
  const root = make("div", "t2m-health"), head = make("div", "t2m-head"), found = make("div");
  const tools = make("div", "t2m-tools"), chips = make("span"), count = make("span", "t2m-dim");
  const labels = make("div", "t2m-labels"), view = make("div", "t2m-view"), canvas = make("div");
  const search = makeSearch("search operations, modules and source lines"), detail = make("div", "t2m-detail");
  const set = setterOf(model);
  let rows = [], shown = [], selected = 0;

  chips.style.display = "contents";
  view.tabIndex = 0;
  view.setAttribute("role", "listbox");
  view.setAttribute("aria-label", "measured tensors");
  for (const [text, name] of [["operation", ""], ["module", ""], ["shape", "t2m-wide"], ["dtype", "t2m-wide"],
    ["magnitude", ""], ["lowest", "t2m-right t2m-wide"], ["highest", "t2m-right t2m-wide"],
    ["headroom", "t2m-right"]]) labels.append(make("span", name, text));
  labels.children[4].title = "the largest number on a logarithmic scale from the smallest normal number of the dtype to its largest";
  tools.append(search, chips, count);
  canvas.style.position = "relative";
  view.append(canvas);
  root.append(head, found, tools, labels, view, detail);
  el.append(root);

  function showOverview() {
    const about = model.get("overview");
    const score = make("span", `t2m-score t2m-${about.status}`, `${about.glyph} ${about.score}`);
    head.replaceChildren(make("b", "", about.title), make("span", "t2m-facts", about.facts), score);
    found.replaceChildren();
    for (const side of about.sides) {
      if (side.name) found.append(make("div", "t2m-side", side.name));
      for (const first of side.first) {
        const box = make("div", "t2m-first t2m-box-DIVERGES");
        const what = make("span", "t2m-what", ` ${first.title}`);
        box.append(make("b", "t2m-DIVERGES", "✗"), what, make("div", "t2m-mono", first.lines[0]));
        if (first.lines.length > 1) box.append(make("div", "t2m-mono t2m-dim", first.lines.slice(1).join("\n")));
        found.append(box);
      }
      for (const part of side.sections) {
        const fold = make("details"), title = make("summary");
        title.append(make("b", `t2m-${part.status}`, part.glyph), `${part.title} · ${part.count.toLocaleString("en")}`);
        fold.append(title, make("div", "t2m-mono", part.lines.join("\n")));
        fold.open = part.count <= 2 && part.status !== "MAPPED";
        found.append(fold);
      }
      for (const note of side.notes) found.append(make("div", "t2m-note", note));
    }
  }

  function showChips() {
    const phases = [...new Set(rows.map(row => row.phase))];
    const states = ["bad", "close", "denormal"].filter(flag => rows.some(row => row.flags.includes(flag)));
    const words = { close: "close to the limit", denormal: "denormals" };
    chips.replaceChildren(...[...phases, ...states].map(name => {
      const number = rows.filter(row => row.phase === name || row.flags.includes(name)).length;
      const on = model.get("filter") === name;
      const chip = makeChip(on, `${words[name] ?? name} ${number.toLocaleString("en")}`, () => set("filter", on ? "" : name));
      chip.dataset.filter = name;
      return chip;
    }));
  }

  function refilter() {
    const words = model.get("search").toLowerCase(), wanted = model.get("filter");
    if (search.value !== model.get("search")) search.value = model.get("search");
    shown = rows.filter(row => (!wanted || row.phase === wanted || row.flags.includes(wanted)) && (!words
      || `${row.operation} ${row.name} ${row.path} ${row.source} ${row.line} ${row.side}`.toLowerCase().includes(words)));
    selected = Math.max(0, shown.findIndex(row => row.verdict === "bad"));
    canvas.style.height = `${shown.length * ROW}px`;
    view.style.height = `${Math.min(Math.max(shown.length * ROW, ROW), HIGHEST)}px`;
    view.scrollTop = Math.max(0, selected * ROW - 120);
    count.textContent = `${shown.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
    showChips();
    paint();
    showDetail();
  }

  function paint() {
    const [from, to] = rowsInSight(view, shown.length, SPARE, HIGHEST);
    canvas.replaceChildren(...Array.from({ length: Math.max(0, to - from) }, (_, k) => draw(shown[from + k], from + k)));
    if (!shown.length) canvas.replaceChildren(make("div", "t2m-empty", "nothing measured fits"));
    root.dataset.rows = to - from;
  }

  function draw(row, at) {
    const line = make("div", "t2m-row");
    line.style.top = `${at * ROW}px`;
    line.dataset.at = at;
    line.setAttribute("role", "option");
    line.setAttribute("aria-selected", at === selected);
    const name = make("span");
    const mark = row.phase === "checkpoint" ? "t2m-mark" : `t2m-${row.status}`;
    name.append(make("span", `t2m-glyph ${mark}`, row.glyph), row.name, " ",
      make("span", "t2m-dim", [row.side, row.phase === "forward" ? "" : row.phase, row.line].filter(Boolean).join(" · ")));
    name.title = [row.operation, row.source].filter(Boolean).join("\n");
    const path = make("span", "t2m-dim", row.path);
    path.title = row.path;
    const scale = make("span", `t2m-scale t2m-${row.status}`);
    if (row.at !== null) {
      const tick = make("i");
      tick.style.left = `${(row.at * 100).toFixed(2)}%`;
      scale.append(tick);
    }
    scale.title = row.text;
    line.append(name, path, make("span", "t2m-dim t2m-wide", row.shape), make("span", "t2m-dim t2m-wide", row.dtype), scale,
      make("span", "t2m-right t2m-wide", row.low), make("span", "t2m-right t2m-wide", row.high),
      make("span", `t2m-right t2m-${row.status}`, row.bad ? row.bad.split(",")[0] : row.headroom));
    return line;
  }

  function showDetail() {
    const row = shown[selected];
    detail.replaceChildren();
    if (!row) return;
    const title = make("div");
    title.append(make("b", "t2m-mono", row.operation), make("span", "t2m-dim",
      ` ${[row.side, row.phase, row.path && `in ${row.path}`, row.line, row.step ? `step ${row.step}` : ""].filter(Boolean).join(" · ")}`));
    const share = row.count ? ` · ${(100 * row.zeros / row.count).toFixed(0)} % zeros` : "";
    const denormals = row.denormals ? ` · ${row.denormals.toLocaleString("en")} denormals` : "";
    detail.append(title, make("div", "t2m-mono", row.source),
      make("div", "t2m-mono t2m-dim", `${row.text}${share}${denormals}${row.headroom ? ` · headroom ${row.headroom}` : ""}`));
    if (row.note) detail.append(make("div", "t2m-dim", row.note));
  }

  function select(at) {
    if (at < 0 || at >= shown.length) return;
    selected = at;
    bringIntoSight(view, at);
    paint();
    showDetail();
  }

  // Columns are as wide as what is in them.
  function fitColumns() {
    for (const [column, trait, least, most] of [["module", "path", 7, 30], ["shape", "shape", 6, 16]]) {
      const wide = rows.reduce((sum, row) => Math.max(sum, row[trait].length), least);
      root.style.setProperty(`--t2m-${column}`, `${(Math.min(wide, most) * CHARACTER).toFixed(0)}px`);
    }
  }

  function reread() {
    rows = model.get("rows");
    fitColumns();
    refilter();
  }

  function onKey(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12 };
    if (event.target === view && event.key in moves) {
      event.preventDefault();
      select(Math.min(Math.max(selected + moves[event.key], 0), shown.length - 1));
    } else if (event.target === view && event.key === "/") {
      event.preventDefault();
      search.focus();
    } else if (event.target === search && event.key === "Escape") {
      set("search", "");
      view.focus();
    }
  }

  canvas.addEventListener("click", event => {
    const line = event.target.closest(".t2m-row");
    if (line) select(Number(line.dataset.at));
  });
  view.addEventListener("scroll", paint, { passive: true });
  search.addEventListener("input", () => set("search", search.value));

  showOverview();
  reread();
  return comeAlive(model, root, { "change:overview": showOverview, "change:rows": reread, "change:search": refilter,
    "change:filter": refilter }, onKey);
}

export default { render };
