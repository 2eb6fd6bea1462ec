"use strict";(self.rspackChunkt2m_notebook=self.rspackChunkt2m_notebook||[]).push([[700],{203(t,a,e){var r=e(601),o=e.n(r),i=e(314),n=(e.n(i))()(o());n.push([t.id,`/* Below the input of a cell, as wide as the input. */
.t2m-lab-badge {
  --t2m-state: var(--t2m-unseen);
  margin: 2px 0 0 calc(var(--jp-cell-prompt-width, 64px) + var(--jp-cell-collapser-width, 8px) + var(--jp-cell-padding, 5px));
  border-left: 3px solid var(--t2m-state);
  background: color-mix(in srgb, var(--t2m-state) 9%, var(--t2m-bg));
  color: var(--t2m-fg);
  font: 12px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  transition: background-color 120ms, border-color 120ms;
}

.t2m-lab-badge[data-status='PROVEN'] { --t2m-state: var(--t2m-proven); }
.t2m-lab-badge[data-status='DIVERGES'] { --t2m-state: var(--t2m-diverges); }
.t2m-lab-badge[data-status='MISSING'] { --t2m-state: var(--t2m-missing); }
.t2m-lab-badge[data-status='REFUSED'] { --t2m-state: var(--t2m-refused); }

.t2m-lab-badge[data-state='unknown'] { background: var(--t2m-bg2); }
.t2m-lab-badge[data-state='unknown'] .t2m-lab-head { color: var(--t2m-dim); font-weight: 400; }

.t2m-lab-words { display: flex; flex: 1 1 0; flex-wrap: wrap; gap: 0 12px; align-items: baseline; min-width: 0; }

.t2m-lab-line {
  display: flex;
  gap: 0 12px;
  align-items: baseline;
  padding: 3px 12px 3px 9px;
}

.t2m-lab-line > .t2m-lab-glyph { margin-right: -4px; }
.t2m-lab-head { font-weight: 600; white-space: nowrap; }
.t2m-lab-measured { font-family: var(--t2m-mono); white-space: nowrap; }
.t2m-lab-badge .t2m-lab-message { min-width: 0; color: var(--t2m-dim); overflow-wrap: anywhere; }
.t2m-lab-badge .t2m-lab-message code { color: var(--t2m-fg); font: inherit; font-family: var(--t2m-mono); }
.t2m-lab-facts { color: var(--t2m-dim); white-space: nowrap; font-variant-numeric: tabular-nums; }

.t2m-lab-more { padding-left: 31px; padding-top: 0; }
.t2m-lab-line + .t2m-lab-fix, .t2m-lab-fix + .t2m-lab-fix { margin-top: 1px; }
.t2m-lab-fix .t2m-lab-line { padding-bottom: 1px; }
.t2m-lab-fix .t2m-lab-message { color: var(--t2m-fg); }
.t2m-lab-kept { border-top: 1px solid var(--t2m-line); padding-left: 31px; gap: 2px 8px; flex-wrap: wrap; }
.t2m-lab-change { display: flex; flex-wrap: wrap; gap: 0 8px; padding: 0 12px 4px 31px; font-family: var(--t2m-mono); overflow-wrap: anywhere; }
.t2m-lab-change del { color: var(--t2m-dim); text-decoration: line-through; text-decoration-thickness: 1px; }
.t2m-lab-change ins { text-decoration: none; }
.t2m-lab-apply { color: var(--t2m-state); }

/* The answer is of an older text: still there to read, no longer a claim. */
.t2m-lab-old { --t2m-state: var(--t2m-unseen) !important; }
.t2m-lab-old .t2m-lab-glyph,
.t2m-lab-old .t2m-lab-head,
.t2m-lab-old .t2m-lab-text { opacity: 0.6; }
`,""]),e.d(a,{},{A:n})},585(t,a,e){var r=e(601),o=e.n(r),i=e(314),n=(e.n(i))()(o());n.push([t.id,`/* Status colours are those of t2m_notebook/render/style.py; all else comes from JupyterLab's theme. */
body {
  --t2m-proven: #00795c;
  --t2m-mapped: #0b68b0;
  --t2m-partial: #925600;
  --t2m-diverges: #c2410c;
  --t2m-refused: #8a2be2;
  --t2m-missing: #b0004e;
  --t2m-unseen: #7d868f;
  --t2m-bg: var(--jp-layout-color1, #fff);
  --t2m-fg: var(--jp-ui-font-color1, #1f2328);
  --t2m-dim: var(--jp-ui-font-color2, #656d76);
  --t2m-accent: var(--jp-brand-color1, #1976d2);
  --t2m-bg2: color-mix(in srgb, var(--t2m-fg) 4%, var(--t2m-bg));
  --t2m-line: color-mix(in srgb, var(--t2m-fg) 14%, var(--t2m-bg));
  --t2m-mono: var(--jp-code-font-family, monospace);
}

body[data-jp-theme-light='false'] {
  --t2m-proven: #4cc9a0;
  --t2m-mapped: #5cb3f0;
  --t2m-partial: #f0b13c;
  --t2m-diverges: #ff8a5c;
  --t2m-refused: #c792ff;
  --t2m-missing: #ff6fa5;
  --t2m-unseen: #828b96;
}

.t2m-lab-PROVEN { color: var(--t2m-proven); }
.t2m-lab-MAPPED { color: var(--t2m-mapped); }
.t2m-lab-PARTIAL { color: var(--t2m-partial); }
.t2m-lab-DIVERGES { color: var(--t2m-diverges); }
.t2m-lab-REFUSED { color: var(--t2m-refused); }
.t2m-lab-MISSING { color: var(--t2m-missing); }
.t2m-lab-UNSEEN { color: var(--t2m-unseen); }

.t2m-lab-glyph {
  flex: none;
  width: 14px;
  text-align: center;
  font-family: var(--t2m-mono);
  font-weight: 700;
}

.t2m-lab-dim { color: var(--t2m-dim); }
.t2m-lab-space { flex: 1 1 0; }

.t2m-lab-button {
  flex: none;
  padding: 0 8px;
  border: 1px solid color-mix(in srgb, currentcolor 55%, transparent);
  border-radius: 4px;
  background: none;
  color: var(--t2m-fg);
  font: inherit;
  line-height: 18px;
  cursor: pointer;
}

.t2m-lab-button:hover { background: color-mix(in srgb, currentcolor 10%, transparent); }
.t2m-lab-button:focus-visible { outline: 2px solid var(--t2m-accent); outline-offset: 1px; }

/* What a magic says to a notebook without this extension. */
.t2m-without-extension { display: none; }
`,""]),e.d(a,{},{A:n})},461(t,a,e){var r=e(601),o=e.n(r),i=e(314),n=(e.n(i))()(o());n.push([t.id,`.t2m-lab-dialog { min-width: min(720px, 80vw); }
.t2m-lab-dialog p { margin: 0 0 6px; font-family: var(--t2m-mono); font-size: 12px; }

.t2m-lab-diff {
  max-height: 60vh;
  margin: 0;
  padding: 6px 0;
  overflow: auto;
  border: 1px solid var(--t2m-line);
  border-radius: 4px;
  background: var(--t2m-bg);
  color: var(--t2m-fg);
  font: 12px/1.6 var(--t2m-mono);
}

.t2m-lab-diff-line { display: block; min-width: max-content; padding: 0 12px; text-decoration: none; white-space: pre; }
.t2m-lab-diff del { background: color-mix(in srgb, var(--t2m-diverges) 14%, transparent); }
.t2m-lab-diff ins { background: color-mix(in srgb, var(--t2m-proven) 14%, transparent); }

.t2m-lab-code { height: 100%; margin: 0; overflow: auto; background: var(--t2m-bg); color: var(--t2m-fg); }
.t2m-lab-dialog-code { width: min(800px, 80vw); height: 60vh; border: 1px solid var(--t2m-line); }
`,""]),e.d(a,{},{A:n})},265(t,a,e){var r=e(601),o=e.n(r),i=e(314),n=e.n(i),l=e(585),m=e(203),p=e(472),d=e(724),s=e(461),c=n()(o());c.i(l.A),c.i(m.A),c.i(p.A),c.i(d.A),c.i(s.A),c.push([t.id,`
`,""]),e.d(a,{},{A:c})},472(t,a,e){var r=e(601),o=e.n(r),i=e(314),n=(e.n(i))()(o());n.push([t.id,`/* Marks in the editors of our cells. The gutter's signs are our glyphs in place of the linter's pictures. */
.t2m-lab-editor.cm-editor .cm-gutters { border-right: 0; background: transparent; }
.t2m-lab-editor.cm-editor .cm-gutters .cm-gutter-lint { background: transparent; }
.t2m-lab-editor .cm-gutter-lint { width: 1.1em; }
.t2m-lab-editor .cm-gutter-lint .cm-gutterElement { padding: 0; }

.t2m-lab-editor .cm-lint-marker {
  width: 1.1em;
  height: auto;
  content: normal;
  text-align: center;
  font-weight: 700;
  cursor: help;
}

.t2m-lab-editor .cm-lint-marker::before { content: '✗'; color: var(--t2m-diverges); }
.t2m-lab-editor .cm-lint-marker-warning::before { content: '◐'; color: var(--t2m-partial); }
.t2m-lab-editor .cm-lint-marker-info::before { content: '●'; color: var(--t2m-mapped); }

.t2m-lab-editor .cm-lintRange {
  background-image: none;
  text-decoration: underline wavy 1px var(--t2m-diverges);
  text-underline-offset: 3px;
  text-decoration-skip-ink: none;
}

.t2m-lab-editor .cm-lintRange-warning { text-decoration-color: var(--t2m-partial); }
.t2m-lab-editor .cm-lintRange-info { text-decoration-color: var(--t2m-mapped); }

.cm-tooltip .cm-diagnostic {
  max-width: 560px;
  padding: 5px 10px;
  border-left: 3px solid var(--t2m-diverges);
  color: var(--t2m-fg);
  font: 12px/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  white-space: pre-wrap;
}

.cm-tooltip .cm-diagnostic-warning { border-color: var(--t2m-partial); }
.cm-tooltip .cm-diagnostic-info { border-color: var(--t2m-mapped); }
.cm-tooltip:has(.cm-diagnostic) { border: 1px solid var(--t2m-line); border-radius: 4px; background: var(--t2m-bg); overflow: hidden; }

/* The cell that a click in the tree led to. */
@keyframes t2m-lab-flash {
  from { background: color-mix(in srgb, var(--t2m-accent) 22%, transparent); }
  to { background: transparent; }
}

.t2m-lab-flash > .jp-Cell-inputWrapper { animation: t2m-lab-flash 900ms ease-out; }

@media (prefers-reduced-motion: reduce) {
  .t2m-lab-flash > .jp-Cell-inputWrapper { animation: none; }
  .t2m-lab-badge { transition: none; }
}
`,""]),e.d(a,{},{A:n})},724(t,a,e){var r=e(601),o=e.n(r),i=e(314),n=(e.n(i))()(o());n.push([t.id,`.t2m-lab-panel {
  display: flex;
  flex-direction: column;
  background: var(--t2m-bg);
  color: var(--t2m-fg);
  font: 12px/1.45 var(--jp-ui-font-family, system-ui, sans-serif);
  overflow: hidden;
}

/* JupyterLab's own rule for what is in its side areas has an id. */
#jp-right-stack > .t2m-lab-panel, #jp-left-stack > .t2m-lab-panel { min-width: 340px; }

.t2m-lab-panel [hidden] { display: none !important; }
.t2m-lab-panel * { box-sizing: border-box; }

.t2m-lab-title {
  display: flex;
  gap: 8px;
  align-items: center;
  min-height: 34px;
  padding: 5px 12px;
  background: var(--t2m-bg2);
}

.t2m-lab-title b { font-size: 14px; font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }

.t2m-lab-choice {
  min-width: 0;
  padding: 1px 4px;
  border: 1px solid var(--t2m-line);
  border-radius: 4px;
  background: var(--t2m-bg);
  color: inherit;
  font: 600 13px var(--jp-ui-font-family, sans-serif);
}

.t2m-lab-score { font: 600 12px var(--t2m-mono); white-space: nowrap; }
.t2m-lab-bar { display: flex; height: 5px; background: var(--t2m-line); }
.t2m-lab-bar i { min-width: 2px; }
.t2m-lab-notice { padding: 4px 12px; border-bottom: 1px solid var(--t2m-line); color: var(--t2m-dim); overflow-wrap: anywhere; }
.t2m-lab-empty { padding: 14px 12px; color: var(--t2m-dim); overflow-wrap: anywhere; }

.t2m-lab-panel-body { display: flex; flex: 1 1 0; flex-direction: column; min-height: 0; }

.t2m-lab-ladder { display: grid; grid-template-columns: repeat(auto-fit, minmax(72px, 1fr)); gap: 8px 5px; margin: 0; padding: 10px 12px; list-style: none; }
.t2m-lab-rung { min-width: 0; padding: 4px 0 0; border-top: 3px solid var(--t2m-line); white-space: nowrap; }
.t2m-lab-rung small { display: block; overflow: hidden; color: var(--t2m-dim); font: 11px/1.5 var(--t2m-mono); text-overflow: ellipsis; }
.t2m-lab-rung-name { display: block; font-size: 11px; overflow: hidden; text-overflow: ellipsis; }
.t2m-lab-rung .t2m-lab-glyph { display: inline-block; width: 12px; margin-right: 2px; text-align: left; }
.t2m-lab-edge-PROVEN { border-color: var(--t2m-proven); }
.t2m-lab-edge-MAPPED { border-color: var(--t2m-mapped); }
.t2m-lab-edge-PARTIAL { border-color: var(--t2m-partial); }
.t2m-lab-edge-DIVERGES { border-color: var(--t2m-diverges); }
.t2m-lab-edge-REFUSED { border-color: var(--t2m-refused); }
.t2m-lab-edge-MISSING { border-color: var(--t2m-missing); }

.t2m-lab-section { display: flex; flex: 1 1 0; flex-direction: column; min-height: 0; border-top: 1px solid var(--t2m-line); }
.t2m-lab-section-tree { flex-grow: 1.25; }
.t2m-lab-section.t2m-lab-closed { flex: none; }
.t2m-lab-section-head { display: flex; flex: none; gap: 8px; align-items: center; min-height: 28px; padding: 2px 12px 2px 4px; }

.t2m-lab-heading {
  padding: 2px 4px;
  border: 0;
  border-radius: 3px;
  background: none;
  color: var(--t2m-dim);
  font: 600 11px var(--jp-ui-font-family, sans-serif);
  letter-spacing: 0.05em;
  text-transform: uppercase;
  cursor: pointer;
}

.t2m-lab-heading::before { content: '▾'; display: inline-block; width: 14px; letter-spacing: 0; }
.t2m-lab-closed .t2m-lab-heading::before { content: '▸'; }
.t2m-lab-heading:hover { color: var(--t2m-fg); }
.t2m-lab-heading:focus-visible { outline: 2px solid var(--t2m-accent); }
.t2m-lab-section-head .t2m-lab-button { border: 0; color: var(--t2m-diverges); }

.t2m-lab-list { position: relative; flex: 1 1 0; min-height: 0; overflow: auto; outline: none; contain: strict; }
.t2m-lab-canvas { position: relative; }

.t2m-lab-row {
  position: absolute;
  top: 0;
  left: 0;
  right: 0;
  display: grid;
  grid-template-columns: minmax(0, 1fr) auto;
  gap: 10px;
  height: 22px;
  padding: 0 12px 0 6px;
  font: 12px/22px var(--t2m-mono);
  white-space: nowrap;
  cursor: default;
}

.t2m-lab-row:hover { background: var(--t2m-bg2); }

.t2m-lab-row[aria-selected='true'] {
  background: color-mix(in srgb, var(--t2m-accent) 9%, transparent);
  box-shadow: inset 3px 0 color-mix(in srgb, var(--t2m-accent) 45%, transparent);
}

.t2m-lab-row[aria-selected='true'] .t2m-lab-dim { color: color-mix(in srgb, var(--t2m-dim) 85%, var(--t2m-fg)); }

.t2m-lab-list:focus .t2m-lab-row[aria-selected='true'] {
  box-shadow: inset 3px 0 var(--t2m-accent);
}

.t2m-lab-list:focus-visible { box-shadow: inset 0 1px var(--t2m-accent); }
.t2m-lab-label { overflow: hidden; text-overflow: ellipsis; }
.t2m-lab-row .t2m-lab-glyph { display: inline-block; margin-right: 4px; }
.t2m-lab-row .t2m-lab-twisty { display: inline-block; width: 16px; color: var(--t2m-dim); text-align: center; }
.t2m-lab-row .t2m-lab-mark { margin-left: 6px; color: var(--t2m-mapped); }
.t2m-lab-row .t2m-lab-mark.t2m-lab-DIVERGES { color: var(--t2m-diverges); }
.t2m-lab-row .t2m-lab-number { text-align: right; }
.t2m-lab-row.t2m-lab-stale .t2m-lab-glyph, .t2m-lab-row.t2m-lab-stale .t2m-lab-number { opacity: 0.4; }

.t2m-lab-row .t2m-lab-indent {
  display: inline-block;
  height: 22px;
  margin-left: 6px;
  margin-right: -4px;
  vertical-align: top;
  background: repeating-linear-gradient(to right, var(--t2m-line) 0 1px, transparent 1px 14px);
}

.t2m-lab-weights { display: flex; flex: 1 1 0; flex-direction: column; min-height: 0; }
.t2m-lab-tools { white-space: nowrap; display: flex; flex: none; gap: 10px; align-items: center; padding: 0 12px 6px; }
.t2m-lab-check { display: flex; gap: 4px; align-items: center; color: var(--t2m-dim); white-space: nowrap; }
.t2m-lab-check input { margin: 0; }

.t2m-lab-search {
  flex: 0 1 150px;
  min-width: 60px;
  height: 24px;
  padding: 2px 8px;
  border: 1px solid var(--t2m-line);
  border-radius: 4px;
  background: var(--t2m-bg);
  color: inherit;
  font: 12px var(--t2m-mono);
}

.t2m-lab-search:focus-visible { outline: 2px solid var(--t2m-accent); outline-offset: -1px; }

.t2m-lab-weight {
  position: absolute;
  top: 0;
  left: 0;
  right: 0;
  display: grid;
  grid-template-columns: 14px minmax(0, 1fr) auto;
  gap: 0 6px;
  height: 42px;
  padding: 2px 12px;
  border-bottom: 1px solid var(--t2m-bg2);
  font: 12px/19px var(--t2m-mono);
  white-space: nowrap;
}

.t2m-lab-weight:hover { background: var(--t2m-bg2); }
.t2m-lab-weight .t2m-lab-side { display: flex; gap: 8px; min-width: 0; }
.t2m-lab-weight .t2m-lab-side:nth-of-type(2) { grid-column: 2 / 4; }
.t2m-lab-weight .t2m-lab-name { overflow: hidden; text-overflow: ellipsis; direction: rtl; text-align: left; }
.t2m-lab-weight .t2m-lab-shape { flex: none; }
.t2m-lab-weight .t2m-lab-arrow { grid-column: 1; grid-row: 2; text-align: center; }
.t2m-lab-weight .t2m-lab-arrow + .t2m-lab-side { grid-column: 2; grid-row: 2; }
.t2m-lab-weight .t2m-lab-axes { grid-column: 3; grid-row: 2; text-align: right; }

.t2m-lab-wide .t2m-lab-weight { grid-template-columns: 14px minmax(0, 1fr) 14px minmax(0, 1fr) 120px; height: 22px; padding: 1px 12px; }
.t2m-lab-wide .t2m-lab-weight > * { grid-row: 1 !important; }
.t2m-lab-wide .t2m-lab-weight .t2m-lab-side:nth-of-type(2) { grid-column: 2; }
.t2m-lab-wide .t2m-lab-weight .t2m-lab-arrow { grid-column: 3; }
.t2m-lab-wide .t2m-lab-weight .t2m-lab-arrow + .t2m-lab-side { grid-column: 4; }
.t2m-lab-wide .t2m-lab-weight .t2m-lab-axes { grid-column: 5; }

.t2m-lab-status-item {
  display: flex;
  gap: 3px;
  align-items: center;
  height: 100%;
  padding: 0 6px;
  border: 0;
  background: none;
  color: var(--t2m-fg);
  font: 12px var(--jp-ui-font-family, sans-serif);
  cursor: pointer;
}

.t2m-lab-status-item:hover { background: var(--jp-layout-color3); }
.t2m-lab-status-item:focus-visible { outline: 2px solid var(--t2m-accent); outline-offset: -2px; }
`,""]),e.d(a,{},{A:n})},314(t){t.exports=function(t){var a=[];return a.toString=function(){return this.map(function(a){var e="",r=void 0!==a[5];return a[4]&&(e+="@supports (".concat(a[4],") {")),a[2]&&(e+="@media ".concat(a[2]," {")),r&&(e+="@layer".concat(a[5].length>0?" ".concat(a[5]):""," {")),e+=t(a),r&&(e+="}"),a[2]&&(e+="}"),a[4]&&(e+="}"),e}).join("")},a.i=function(t,e,r,o,i){"string"==typeof t&&(t=[[null,t,void 0]]);var n={};if(r)for(var l=0;l<this.length;l++){var m=this[l][0];null!=m&&(n[m]=!0)}for(var p=0;p<t.length;p++){var d=[].concat(t[p]);r&&n[d[0]]||(void 0!==i&&(void 0===d[5]||(d[1]="@layer".concat(d[5].length>0?" ".concat(d[5]):""," {").concat(d[1],"}")),d[5]=i),e&&(d[2]&&(d[1]="@media ".concat(d[2]," {").concat(d[1],"}")),d[2]=e),o&&(d[4]?(d[1]="@supports (".concat(d[4],") {").concat(d[1],"}"),d[4]=o):d[4]="".concat(o)),a.push(d))}},a}},601(t){t.exports=function(t){return t[1]}},72(t){var a=[];function e(t){for(var e=-1,r=0;r<a.length;r++)if(a[r].identifier===t){e=r;break}return e}function r(t,r){for(var o={},i=[],n=0;n<t.length;n++){var l=t[n],m=r.base?l[0]+r.base:l[0],p=o[m]||0,d="".concat(m," ").concat(p);o[m]=p+1;var s=e(d),c={css:l[1],media:l[2],sourceMap:l[3],supports:l[4],layer:l[5]};if(-1!==s)a[s].references++,a[s].updater(c);else{var b=function(t,a){var e=a.domAPI(a);return e.update(t),function(a){a?(a.css!==t.css||a.media!==t.media||a.sourceMap!==t.sourceMap||a.supports!==t.supports||a.layer!==t.layer)&&e.update(t=a):e.remove()}}(c,r);r.byIndex=n,a.splice(n,0,{identifier:d,updater:b,references:1})}i.push(d)}return i}t.exports=function(t,o){var i=r(t=t||[],o=o||{});return function(t){t=t||[];for(var n=0;n<i.length;n++){var l=e(i[n]);a[l].references--}for(var m=r(t,o),p=0;p<i.length;p++){var d=e(i[p]);0===a[d].references&&(a[d].updater(),a.splice(d,1))}i=m}}},659(t){var a={};t.exports=function(t,e){var r=function(t){if(void 0===a[t]){var e=document.querySelector(t);if(window.HTMLIFrameElement&&e instanceof window.HTMLIFrameElement)try{e=e.contentDocument.head}catch(t){e=null}a[t]=e}return a[t]}(t);if(!r)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");r.appendChild(e)}},540(t){t.exports=function(t){var a=document.createElement("style");return t.setAttributes(a,t.attributes),t.insert(a,t.options),a}},56(t,a,e){t.exports=function(t){var a=e.nc;a&&t.setAttribute("nonce",a)}},825(t){t.exports=function(t){if("u"<typeof document)return{update:function(){},remove:function(){}};var a=t.insertStyleElement(t);return{update:function(e){var r,o,i;r="",e.supports&&(r+="@supports (".concat(e.supports,") {")),e.media&&(r+="@media ".concat(e.media," {")),(o=void 0!==e.layer)&&(r+="@layer".concat(e.layer.length>0?" ".concat(e.layer):""," {")),r+=e.css,o&&(r+="}"),e.media&&(r+="}"),e.supports&&(r+="}"),(i=e.sourceMap)&&"u">typeof btoa&&(r+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(i))))," */")),t.styleTagTransform(r,a,t.options)},remove:function(){var t;null===(t=a).parentNode||t.parentNode.removeChild(t)}}}},113(t){t.exports=function(t,a){if(a.styleSheet)a.styleSheet.cssText=t;else{for(;a.firstChild;)a.removeChild(a.firstChild);a.appendChild(document.createTextNode(t))}}},959(t,a,e){var r=e(72),o=e.n(r),i=e(825),n=e.n(i),l=e(659),m=e.n(l),p=e(56),d=e.n(p),s=e(540),c=e.n(s),b=e(113),g=e.n(b),f=e(265),x={};x.styleTagTransform=g(),x.setAttributes=d(),x.insert=m().bind(null,"head"),x.domAPI=n(),x.insertStyleElement=c(),o()(f.A,x),f.A&&f.A.locals&&f.A.locals}}]);