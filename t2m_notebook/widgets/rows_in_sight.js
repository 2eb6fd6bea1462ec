// Long lists: only the rows in sight are in the DOM, each placed by hand in a canvas as high as all of them.

const ROW = 24; // height of a row in CSS pixels, as in tree.css, trace.css and health.css

// The first row to draw and the one after the last, with `spare` more above and below those in sight;
// `height` is the viewport's for as long as the page has not laid it out.
function rowsInSight(view, count, spare, height) {
  const from = Math.max(0, Math.floor(view.scrollTop / ROW) - spare);
  return [from, Math.min(count, from + Math.ceil((view.clientHeight || height) / ROW) + 2 * spare)];
}

// Scrolls as little as it takes to see row `at` with `below` pixels under it.
function bringIntoSight(view, at, below = 0) {
  if (at * ROW < view.scrollTop) view.scrollTop = at * ROW;
  else if ((at + 1) * ROW + below > view.scrollTop + view.clientHeight) view.scrollTop = (at + 1) * ROW + below - view.clientHeight;
}
