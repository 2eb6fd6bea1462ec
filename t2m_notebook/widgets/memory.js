// The memory view: stacked bars, sliders that predict, tables. Plain ESM, no bundler.
const UNITS = [" B", " KB", " MB", " GB", " TB"];
const bytesText = number => {
  let value = Math.max(0, number), unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 ? Math.round(value) : value < 99.95 ? value.toFixed(1) : Math.round(value)}${UNITS[unit]}`;
};
const WIDTHS = { float32: 4, bfloat16: 2, float16: 2, int8: 2, int4: 2 }; // quantised weights work on float16 activations
const TOP = 4096;

function render({ model, el }) {
  const data = model.get("data"), root = make("div", "t2m-memory"), head = make("div", "t2m-head");
  const controls = make("div", "t2m-controls"), bars = make("div"), said = make("div", "t2m-said"), rest = make("div");
  head.append(make("b", "", data.title), make("span", "t2m-facts", data.facts), make("span", "t2m-score", `● ${data.score}`));
  root.append(head, controls, bars, said, rest);
  el.append(root);
  const main = data.sides[0];
  const set = setterOf(model);

  // A slider in powers of two through the measured size.
  function slider(trait, base) {
    const label = make("label", "", trait), input = make("input"), out = make("output");
    const sizes = [...new Set([...Array.from({ length: 24 }, (_, k) => Math.round(base * 2 ** (k - 8)))])]
      .filter(size => size >= 1 && size <= Math.max(TOP, base * 8) * (trait === "length" ? 32 : 1));
    input.type = "range"; input.min = 0; input.max = sizes.length - 1; input.step = 1;
    input.dataset.trait = trait;
    input.addEventListener("input", () => set(trait, sizes[Number(input.value)]));
    const follow = () => {
      const now = model.get(trait);
      input.value = sizes.reduce((best, size, k) => Math.abs(size - now) < Math.abs(sizes[best] - now) ? k : best, 0);
      out.textContent = now.toLocaleString("en");
    };
    label.append(input, out);
    controls.append(label);
    follow();
    return follow;
  }
  const axes = ["batch", "length"].filter(axis => data[axis] > 0 && data.scalings.some(s => s.axis === axis));
  const follows = axes.map(axis => slider(axis, data[axis]));
  const label = make("label", "", "precision"), choose = make("select");
  for (const [value, text] of [["", "as it is"], ...data.precisions.map(p => [p.name, p.name])]) {
    const option = make("option", "", text);
    option.value = value;
    choose.append(option);
  }
  choose.addEventListener("change", () => set("precision", choose.value));
  label.append(choose);
  const back = makeButton("", "as measured", () => {
    model.set("batch", Math.max(data.batch, 1)); model.set("length", data.length); set("precision", "");
  });
  controls.append(label, back);

  const at = (scaling, size) => scaling.coefficients.reduce((sum, c, power) => sum + c * size ** power, 0);
  // How many times the activations of the measured size there are, if each axis acts by itself.
  function growth(mode) {
    return axes.reduce((times, axis) => {
      const scaling = data.scalings.find(s => s.axis === axis && s.quantity.endsWith(mode));
      if (!scaling || model.get(axis) === data[axis]) return times;
      return times * Math.max(0, at(scaling, model.get(axis))) / Math.max(1, at(scaling, data[axis]));
    }, 1);
  }

  function predicted(side, mode) {
    const precision = data.precisions.find(p => p.name === model.get("precision"));
    const original = data.parameters ? data.parameters / Math.max(1, data.precisions[0]?.bytes ?? 1) * 4 : 4; // bytes a number
    const share = precision ? WIDTHS[precision.name] / original : 1;
    const weights = precision && data.parameters ? precision.bytes / data.parameters : 1;
    return mode.segments.map(([name, colour, size]) => {
      const times = name === "activations" ? growth(mode.mode) * share
        : name === "parameters" ? weights : name === "gradients" || name === "optimizer state" ? share
          : name === "inputs" ? axes.reduce((t, axis) => t * model.get(axis) / data[axis], 1) : 1;
      return [name, colour, size * times];
    });
  }

  function showBars() {
    follows.forEach(follow => follow());
    choose.value = model.get("precision");
    const quantised = model.get("precision").startsWith("int");
    const all = data.sides.flatMap(side => side.modes.map(mode => ({ side, mode, parts: predicted(side, mode) })));
    const most = Math.max(1, ...all.map(one => one.parts.reduce((sum, part) => sum + part[2], 0)));
    bars.replaceChildren(...all.map(({ side, mode, parts }) => {
      const body = make("div", "t2m-body"), bar = make("div", "t2m-bar"), legend = make("div", "t2m-legend");
      const total = parts.reduce((sum, part) => sum + part[2], 0), title = make("div");
      title.append(make("b", "", data.sides.length > 1 ? `${side.name} · ${mode.mode}` : mode.mode), " ",
        make("span", "t2m-dim", `at the worst moment ${bytesText(total)}`));
      if (quantised && mode.mode === "training") title.append(make("span", "t2m-dim", " · quantised weights are not trained; adapters are"));
      bar.style.width = `${Math.max(0.5, 100 * total / most)}%`;
      body.dataset.mode = `${side.name} ${mode.mode}`;
      body.dataset.bytes = Math.round(total);
      for (const [name, colour, size] of parts) {
        const piece = make("i"), entry = make("span"), dot = make("i");
        piece.style.flex = `${Math.max(size, 1)} 1 0`;
        piece.style.background = dot.style.background = `var(--t2m-${colour})`;
        piece.title = `${name} ${bytesText(size)}`;
        entry.append(dot, `${name} `, make("b", "", bytesText(size)));
        bar.append(piece);
        legend.append(entry);
      }
      body.append(title, bar, legend);
      return body;
    }));
    const moved = axes.some(axis => model.get(axis) !== data[axis]) || model.get("precision");
    const lines = [moved ? `Predicted: ${axes.map(axis => `${axis} from measurements at ${data.scalings.find(s => s.axis === axis).sizes.join(", ")}`)
      .join("; ") || "arithmetic"}, as if the axes acted one by one; other precisions by their bytes a number.` : "As measured."];
    if (data.cache) {
      const width = model.get("precision") ? WIDTHS[model.get("precision")] / 4 : 1;
      const tokens = Math.max(1, model.get("batch")) * Math.max(1, model.get("length"));
      lines.push(`A key-value cache for ${tokens.toLocaleString("en")} tokens: ${bytesText(data.cache.perToken * tokens * width)} (${data.cache.layers} layers).`);
    }
    said.textContent = lines.join(" ");
  }

  function table(heads, rows, numbers) {
    const made = make("table"), top = make("tr"), body = make("tbody"), group = make("thead");
    heads.forEach((text, k) => top.append(make("th", numbers.includes(k) ? "t2m-number" : "", text)));
    group.append(top);
    for (const row of rows) {
      const line = make("tr");
      row.forEach((cell, k) => {
        const part = make("td", numbers.includes(k) ? "t2m-number" : k > 2 ? "t2m-dim" : "");
        if (cell instanceof Node) part.append(cell); else part.textContent = cell;
        line.append(part);
      });
      body.append(line);
    }
    made.append(group, body);
    return made;
  }
  function fold(title, inside, open = false, name = "") {
    const made = make("details"), body = make("div", name);
    made.append(make("summary", "", title), body);
    body.append(inside);
    made.open = open;
    rest.append(made);
  }

  for (const side of data.sides) {
    for (const mode of side.modes) fold(`${data.sides.length > 1 ? `${side.name} · ` : ""}${mode.mode}: measured beside predicted`,
      table(["", "measured", "predicted", "arithmetic", "how it was measured"], mode.rows, [1, 2]), mode.mode === "training" && side === main);
  }
  if (data.modules.length) {
    const most = Math.max(1, ...data.modules.map(m => m[2] + m[3] + m[4]));
    fold(`${data.modules.length.toLocaleString("en")} modules, the largest first`, table(
      ["module", "class", "parameters", "results", "saved for backward", ""], data.modules.map(m => {
        const share = make("span", "t2m-share");
        share.style.width = `${(120 * (m[2] + m[3] + m[4]) / most).toFixed(1)}px`;
        return [m[0], m[1], ...m.slice(2).map(size => size ? bytesText(size) : ""), share];
      }), [2, 3, 4]), false, "t2m-modules");
  }
  if (data.precisions.length) fold("parameters in other precisions (arithmetic)", table(["", "parameters", "bits a number", ""],
    data.precisions.map(p => [p.name, bytesText(p.bytes), p.bits.toFixed(2), p.note]), [1, 2]));
  const picture = make("div");
  picture.innerHTML = data.pools; // made by render/memory_pictures.py from numbers alone
  fold("discrete and unified memory", picture);
  for (const side of data.sides) {
    if (side.counters.length) fold(`${side.name}'s own counters`, table(["", "bytes"], side.counters, [1]));
    for (const note of side.notes) rest.append(make("div", "t2m-note", note));
  }

  showBars();
  return comeAlive(model, root, { "change:batch": showBars, "change:length": showBars, "change:precision": showBars });
}

export default { render };
