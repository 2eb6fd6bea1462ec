// Where boxes go: the same layers as in render/graph_layout.py, and readers for what graphviz gives.
// No page in here. autograd.py puts this file and its other four into one module.

const GAP_ALONG = 84, GAP_DOWN = 40, GAP_ACROSS = 16, SWEEPS = 6;
const INCH = 72;

// sizes: Map name -> [width, height]; edges: [[tail, head]]. Gives {corners, paths, width, height}.
function layered(sizes, edges, gap = GAP_ALONG) {
  const { layers, follow, lead, extent, routes, depth } = layersOf(sizes, edges);
  const places = new Map();
  const number = layer => layer.forEach((name, k) => places.set(name, k));
  layers.forEach(number);
  const mean = (names, of, otherwise) => {
    if (!names?.length) return otherwise;
    let sum = 0;
    for (const name of names) sum += of.get(name);
    return sum / names.length;
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const along = sweep % 2 === 0, near = along ? follow : lead;
    for (const layer of along ? layers : layers.slice().reverse()) {
      const wish = new Map(layer.map(name => [name, mean(near.get(name), places, places.get(name))]));
      layer.sort((a, b) => wish.get(a) - wish.get(b));
      number(layer);
    }
  }
  const across = new Map();
  for (const layer of layers) {
    let at = -layer.reduce((sum, name) => sum + extent.get(name), 0) / 2;
    for (const name of layer) { across.set(name, at + extent.get(name) / 2); at += extent.get(name); }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const along = sweep % 2 === 0, near = along ? follow : lead;
    for (const layer of along ? layers : layers.slice().reverse()) {
      const wish = layer.map(name => mean(near.get(name), across, across.get(name)));
      apart(wish, layer.map(name => extent.get(name))).forEach((place, k) => across.set(layer[k], place));
    }
  }
  let top = Infinity, bottom = -Infinity;
  for (const [name, y] of across) {
    top = Math.min(top, y - extent.get(name) / 2);
    bottom = Math.max(bottom, y + extent.get(name) / 2);
  }
  const corners = {}, starts = new Array(layers.length);
  let x = 0;
  for (let k = layers.length - 1; k >= 0; k--) {
    let wide = 0;
    for (const name of layers[k]) wide = Math.max(wide, sizes.get(name)?.[0] ?? 0);
    for (const name of layers[k]) {
      const size = sizes.get(name);
      if (size) corners[name] = [x + (wide - size[0]) / 2, across.get(name) - size[1] / 2 - top];
    }
    starts[k] = [x, wide];
    x += wide + gap;
  }
  const paths = routes.map(([tail, head, between]) => {
    const points = [[corners[tail][0] + sizes.get(tail)[0], corners[tail][1] + sizes.get(tail)[1] / 2]];
    for (const name of between) {
      const [left, wide] = starts[depth.get(name)], y = across.get(name) - top;
      points.push([left, y], [left + wide, y]);
    }
    points.push([corners[head][0], corners[head][1] + sizes.get(head)[1] / 2]);
    return [tail, head, curve(points)];
  });
  return { corners, paths, width: x - gap, height: bottom - top };
}

function layersOf(sizes, edges) {
  const tails = new Map(), waits = new Map([...sizes.keys()].map(name => [name, 0]));
  const add = (map, key, value) => { if (!map.has(key)) map.set(key, []); map.get(key).push(value); };
  for (const [tail, head] of edges) { add(tails, head, tail); waits.set(tail, waits.get(tail) + 1); }
  const depth = new Map([...sizes.keys()].map(name => [name, 0]));
  const ready = [...waits].filter(([, count]) => !count).map(([name]) => name);
  while (ready.length) {
    const name = ready.pop();
    for (const tail of tails.get(name) ?? []) {
      depth.set(tail, Math.max(depth.get(tail), depth.get(name) + 1));
      waits.set(tail, waits.get(tail) - 1);
      if (!waits.get(tail)) ready.push(tail);
    }
  }
  let most = 0;
  for (const value of depth.values()) most = Math.max(most, value);
  const layers = Array.from({ length: most + 1 }, () => []), extent = new Map();
  for (const [name, size] of sizes) { layers[depth.get(name)].push(name); extent.set(name, size[1] + GAP_ACROSS); }
  const follow = new Map(), lead = new Map(), routes = [];
  for (const [tail, head] of edges) {
    const between = [];
    for (let level = depth.get(tail) - 1; level > depth.get(head); level--) {
      const name = `\0${tail}\0${head}\0${level}`;
      layers[level].push(name);
      extent.set(name, 8);
      depth.set(name, level);
      between.push(name);
    }
    routes.push([tail, head, between]);
    const chain = [tail, ...between, head];
    for (let k = 1; k < chain.length; k++) { add(follow, chain[k - 1], chain[k]); add(lead, chain[k], chain[k - 1]); }
  }
  return { layers, follow, lead, extent, routes, depth };
}

// The places nearest to the wishes, in order, at which nothing overlaps.
function apart(wish, extent) {
  const blocks = []; // [sum of wishes less offsets, members, length, first member]
  wish.forEach((place, k) => {
    blocks.push([place - extent[k] / 2, 1, extent[k], k]);
    while (blocks.length > 1) {
      const last = blocks[blocks.length - 1], before = blocks[blocks.length - 2];
      if (before[0] / before[1] + before[2] <= last[0] / last[1]) break;
      blocks.pop();
      before[0] += last[0] - last[1] * before[2];
      before[1] += last[1];
      before[2] += last[2];
    }
  });
  const places = [];
  blocks.forEach((block, b) => {
    let at = block[0] / block[1];
    const until = b + 1 < blocks.length ? blocks[b + 1][3] : wish.length;
    for (let k = block[3]; k < until; k++) { places.push(at + extent[k] / 2); at += extent[k]; }
  });
  return places;
}

function curve(points) {
  const path = [points[0]];
  for (let k = 1; k < points.length; k++) {
    const [x0, y0] = points[k - 1], [x1, y1] = points[k], middle = (x0 + x1) / 2;
    path.push([middle, y0], [middle, y1], [x1, y1]);
  }
  return path;
}

const longest = (sizes, edges) => layersOf(sizes, edges).layers.length;

// The boxes without their text in the DOT language, for graphviz to place.
function dotSource(sizes, edges, gap = GAP_ALONG) {
  const numbers = new Map([...sizes.keys()].map((name, k) => [name, k]));
  const lines = [`digraph g { rankdir=LR; ranksep=${gap / INCH}; nodesep=${GAP_ACROSS / INCH};`,
    'node [shape=box, fixedsize=true, label=""]; edge [dir=none];'];
  for (const [name, [w, h]] of sizes) lines.push(`n${numbers.get(name)} [width=${w / INCH}, height=${h / INCH}];`);
  for (const [tail, head] of edges) lines.push(`n${numbers.get(tail)} -> n${numbers.get(head)};`);
  return [...lines, "}"].join("\n");
}

// What graphviz drew as SVG, as places.
function readSvg(text, sizes) {
  const drawn = new DOMParser().parseFromString(text, "image/svg+xml"), names = [...sizes.keys()];
  const corners = {}, paths = [];
  let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
  for (const node of drawn.querySelectorAll("g.node")) {
    const name = names[Number(node.querySelector("title").textContent.slice(1))], [w, h] = sizes.get(name);
    const flat = node.querySelector("polygon").getAttribute("points").trim().split(/[\s,]+/).map(Number);
    const xs = flat.filter((_, k) => k % 2 === 0), ys = flat.filter((_, k) => k % 2);
    const x = (Math.min(...xs) + Math.max(...xs)) / 2 - w / 2, y = (Math.min(...ys) + Math.max(...ys)) / 2 - h / 2;
    corners[name] = [x, y];
    left = Math.min(left, x); top = Math.min(top, y); right = Math.max(right, x + w); bottom = Math.max(bottom, y + h);
  }
  if (Object.keys(corners).length !== names.length) return null;
  for (const name of names) corners[name] = [corners[name][0] - left, corners[name][1] - top];
  for (const edge of drawn.querySelectorAll("g.edge")) {
    const [tail, head] = edge.querySelector("title").textContent.split("->").map(end => names[Number(end.slice(1))]);
    const flat = edge.querySelector("path").getAttribute("d").match(/-?[\d.]+/g).map(Number), points = [];
    for (let k = 0; k < flat.length; k += 2) points.push([flat[k] - left, flat[k + 1] - top]);
    paths.push([tail, head, points]);
  }
  return { corners, paths, width: right - left, height: bottom - top };
}

const turned = placed => ({
  corners: Object.fromEntries(Object.entries(placed.corners).map(([name, [x, y]]) => [name, [y, x]])),
  paths: placed.paths.map(([tail, head, path]) => [tail, head, path.map(([x, y]) => [y, x])]),
  width: placed.height, height: placed.width,
});
