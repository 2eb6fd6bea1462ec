// What every live view does: elements that hold text alone, keys that stay in the view, traits that Python
// hears of, and the place of its static twin. twin.py puts this file before a view's own, into one module.

// Text reaches the page through textContent alone, never as HTML: names come from the user's model.
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function makeButton(className, text, go) {
  const button = make("button", className, text);
  button.type = "button";
  button.addEventListener("click", go);
  return button;
}

const link = (text, go) => makeButton("t2m-link", text, go);

// A button that stays pressed while what it stands for is on.
function makeChip(on, text, go) {
  const chip = makeButton("t2m-chip", text, go);
  chip.setAttribute("aria-pressed", on);
  return chip;
}

function makeSearch(label) {
  const search = make("input");
  search.type = "search"; search.placeholder = "search"; search.spellcheck = false;
  search.setAttribute("aria-label", label);
  return search;
}

// A button that shows and hides the line that names the keys.
function makeKeys(className, line) {
  const keys = makeButton(className, "keys", () => { line.hidden = !line.hidden; });
  keys.title = line.textContent;
  line.hidden = true;
  return keys;
}

// Sets one trait here and in Python.
const setterOf = model => (trait, value) => { model.set(trait, value); model.save_changes(); };

const isShortcut = event => event.ctrlKey || event.metaKey || event.altKey;

// Brings a view to life: `listeners` hear the model, `onKey` hears keys pressed in `root`, and the static twin
// gives way. What this returns undoes it.
function comeAlive(model, root, listeners, onKey = () => {}) {
  root.addEventListener("keydown", event => {
    if (isShortcut(event)) return; // saving and the like go on working
    event.stopPropagation(); // the notebook has its own use for letters, arrows and Enter
    onKey(event);
  });
  // A JupyterLab that hears keys before the page does looks for this attribute.
  const guard = event => {
    if (isShortcut(event)) delete root.dataset.lmSuppressShortcuts;
    else root.dataset.lmSuppressShortcuts = "true";
  };
  window.addEventListener("keydown", guard, true);
  root.dataset.lmSuppressShortcuts = "true";
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  // The static twin in the same cell is for readers without a kernel: this view takes its place.
  const hideTwin = () => {
    const selector = `[data-t2m-twin="${CSS.escape(model.get("twin"))}"]`;
    for (const twin of document.querySelectorAll(selector)) twin.hidden = true;
  };
  const tries = [0, 100, 500, 2000].map(later => setTimeout(hideTwin, later)); // it may come after this
  return () => {
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
    window.removeEventListener("keydown", guard, true);
    tries.forEach(clearTimeout);
  };
}

// Says on the page how many milliseconds the view took to be built and to be painted.
function noteTimes(root, began) {
  root.dataset.buildMs = (performance.now() - began).toFixed(1);
  requestAnimationFrame(() => setTimeout(() => { root.dataset.paintMs = (performance.now() - began).toFixed(1); }));
}
