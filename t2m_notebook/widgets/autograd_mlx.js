// MLX's side of the autograd graph: gradients beside torch's, the graph that MLX builds lazily, and the function
// that it differentiates.

const MOST_BOXES = 2000, BOX_MLX = 26; // boxes drawn of a larger graph, and their height

function drawMlxSide(mlx, pane) {
  const status = mlx.ok === null ? "UNSEEN" : mlx.ok ? "PROVEN" : "DIVERGES";
  const line = make("div", "t2m-mono t2m-mlx");
  line.append(make("span", "t2m-dim", "MLX: "), make("span", mlx.problem ? "" : `t2m-${status}`, mlx.line));
  const parts = [line, ...mlx.notes.map(text => make("div", "t2m-dim", text))];
  if (mlx.rows.length) parts.push(gradientTable(mlx.rows));
  if (mlx.boxes.length) {
    parts.push(make("div", "t2m-dim t2m-caption", `MLX's lazily built graph, ${mlx.primitives} · ${mlx.how}`), pane.root);
  }
  if (mlx.source) {
    const fold = make("details"), text = make("pre", "t2m-mono", mlx.source);
    fold.append(make("summary", "t2m-dim", "the function that MLX differentiates"), text);
    parts.push(fold);
  }
  return parts;
}

// `place(sizes, edges, show)` calls `show` with where the boxes go.
function drawMlxGraph(mlx, pane, place) {
  if (!mlx?.boxes.length) return;
  const boxes = mlx.boxes.slice(0, MOST_BOXES), known = new Set(boxes.map(([name]) => name));
  const sizes = new Map(boxes.map(([name, text]) => [name, [Math.max(text.length * CHARACTER + 18, 40), BOX_MLX]]));
  const edges = mlx.edges.filter(([tail, head]) => known.has(tail) && known.has(head));
  place(sizes, edges, answer => {
    const children = answer.paths.map(([, , points]) => draw("path", { d: pathText(points) }));
    for (const [name, text, kind] of boxes) {
      const [x, y] = answer.corners[name], group = draw("g", { class: kind, transform: `translate(${x},${y})` });
      group.append(draw("rect", { width: sizes.get(name)[0], height: BOX_MLX, rx: 5 }), draw("text", { x: 9, y: 17 }, text));
      children.push(group);
    }
    pane.show(children, answer.width, answer.height);
  });
}

// Each parameter's gradient in both frameworks.
function gradientTable(rows) {
  const box = make("div", "t2m-scroll"), table = make("table");
  const header = make("tr");
  ["", "parameter", "torch .grad", "MLX", "max|Δ|", "axes"].forEach((text, k) => {
    header.append(make("th", k > 1 && k < 5 ? "t2m-right" : "", text));
  });
  table.append(header);
  for (const [ok, mark, name, torch, mlx, difference, axes] of rows) {
    const line = make("tr"), status = ok === null ? "UNSEEN" : ok ? "PROVEN" : "DIVERGES";
    line.append(make("td", `t2m-${status}`, mark), make("td", "", name), make("td", "t2m-right", torch),
      make("td", "t2m-right", mlx), make("td", `t2m-right t2m-${status}`, difference), make("td", "t2m-dim", axes));
    table.append(line);
  }
  box.append(table);
  return box;
}
