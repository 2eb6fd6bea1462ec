// The arrays behind the tree's lines: no page in here. tree.py puts tree_rows.js, tree_detail.js
// and tree.js into one module.
//
// A line is named by a number: i >= 0 is module i, -(i + 1) is the fold whose first member is i.

function readTree(columns) {
  const size = columns.parent.length, { parent, run, strings } = columns;
  const first = new Int32Array(size).fill(-1), next = new Int32Array(size).fill(-1);
  const last = new Int32Array(size).fill(-1), depth = new Int32Array(size);
  const copy = new Uint8Array(size); // 1: inside a fold's second, third, ... member
  for (let i = 1; i < size; i++) {
    const p = parent[i];
    if (last[p] < 0) first[p] = i; else next[last[p]] = i;
    last[p] = i;
    depth[i] = depth[p] + 1;
    copy[i] = copy[p] || (run[i] >= 0 && run[i] !== i) ? 1 : 0;
  }
  const text = (name, i) => strings[columns[name][i]];
  const paths = new Array(size);
  let byPath = null;
  const order = ["name", "class_name", "description", "badge", "shape", "parameters", "bytes", "difference",
    "marks", "alarms"];
  const tree = { size, parent, run, first, next, copy, columns, text,
    status: i => columns.statuses[columns.status[i]][0],
    path(i) {
      if (paths[i] !== undefined) return paths[i];
      const chain = []; // deeper than a call stack would allow
      let k = i;
      while (paths[k] === undefined && k >= 0) { chain.push(k); k = parent[k]; }
      for (const c of chain.reverse()) {
        const above = parent[c] < 0 ? "" : paths[parent[c]];
        paths[c] = columns.paths[c] ?? (parent[c] < 0 ? "" : above ? `${above}.${text("name", c)}` : text("name", c));
      }
      return paths[i];
    },
    find(path) {
      if (!byPath) {
        byPath = new Map();
        for (let i = size - 1; i >= 0; i--) byPath.set(tree.path(i), i);
      }
      return byPath.get(path) ?? -1;
    },
    // The texts of a line: of a module, or of a fold.
    line(id) {
      if (id < 0) return Object.fromEntries(order.map((name, k) => [name, strings[columns.folds[-id - 1][k]]]));
      return Object.fromEntries(order.map(name => [name, text(name, id)]));
    },
    members(start) {
      const found = [];
      for (let i = start; i >= 0 && run[i] === start; i = next[i]) found.push(i);
      return found;
    },
  };
  return tree;
}

const nodeOf = id => (id < 0 ? -id - 1 : id);
const foldOf = start => -(start + 1);

// Which modules a search and a status filter leave, and which of them only lead to one.
function applyFilter(tree, search, statuses) {
  const query = search.trim().toLowerCase(), wanted = new Set(statuses);
  if (!query && !wanted.size) return null;
  const match = new Uint8Array(tree.size), below = new Uint8Array(tree.size), under = new Uint8Array(tree.size);
  let count = 0;
  for (let i = 0; i < tree.size; i++) {
    match[i] = (!wanted.size || wanted.has(tree.status(i))) && (!query
      || tree.path(i).toLowerCase().includes(query) || tree.text("class_name", i).toLowerCase().includes(query)) ? 1 : 0;
    count += match[i];
    const p = tree.parent[i];
    // What is inside a module that was searched for can still be opened.
    under[i] = p >= 0 && !wanted.size && (match[p] || under[p]) ? 1 : 0;
  }
  for (let i = tree.size - 1; i > 0; i--) if (match[i] || below[i]) below[tree.parent[i]] = 1;
  return { count, match, below, shows: i => match[i] || below[i] || under[i] };
}

// The lines directly inside a line, with equal neighbours as one fold.
function linesInside(tree, id, filter) {
  const shows = i => !filter || filter.shows(i);
  if (id < 0) return tree.members(nodeOf(id));
  const lines = [];
  let whole = true; // the current fold: a filter shows every member
  for (let i = tree.first[id]; i >= 0; i = tree.next[i]) {
    if (tree.run[i] === i) whole = !filter || tree.members(i).every(shows);
    if (!shows(i)) continue;
    if (tree.run[i] < 0 || !whole) lines.push(i);
    else if (tree.run[i] === i) lines.push(foldOf(i));
  }
  return lines;
}

function layOut(tree, filter, isOpen) {
  const lines = [], depths = [], stack = [[0, 0]];
  while (stack.length) {
    const [id, depth] = stack.pop();
    lines.push(id);
    depths.push(depth);
    if (!isOpen(id)) continue;
    const inside = linesInside(tree, id, filter);
    for (let k = inside.length - 1; k >= 0; k--) stack.push([inside[k], depth + 1]);
  }
  return { lines, depths };
}
