// The weight table of the side panel: every parameter, where it goes, and whether it fits.

import { element } from './dom';
import { WeightRow } from './messages';
import { glyph, shapeText } from './status';
import { VirtualList } from './virtual_list';

const NARROW = 42; // two lines for a parameter, in CSS pixels
const WIDE = 22; // one line
const WIDE_FROM = 640;

const STATES: Record<WeightRow['state'], { status: 'PROVEN' | 'DIVERGES' | 'MISSING' | 'PARTIAL'; words: string }> = {
  matched: { status: 'PROVEN', words: 'matched' },
  missing: { status: 'MISSING', words: 'missing in MLX' },
  extra: { status: 'PARTIAL', words: 'torch has none' },
  shape: { status: 'DIVERGES', words: 'another shape' }
};

export class WeightsView {
  constructor() {
    this.search.type = 'search';
    this.search.placeholder = 'filter';
    this.search.spellcheck = false;
    this.search.setAttribute('aria-label', 'filter parameters by name, shape or state');
    this.search.addEventListener('input', () => this.refresh());
    this.wrong.type = 'checkbox';
    this.wrong.addEventListener('change', () => this.refresh());
    const only = element('label', 't2m-lab-check', this.wrong, 'unmatched only');
    this.tools.append(this.search, only, element('span', 't2m-lab-space'), this.found);
    this.list.node.tabIndex = 0;
    this.list.node.setAttribute('role', 'list');
    this.list.node.setAttribute('aria-label', 'parameters');
    this.node.append(this.tools, this.list.node);
    new ResizeObserver(() => this.fit()).observe(this.node);
  }

  readonly node = element('div', 't2m-lab-weights');

  show(rows: WeightRow[]): void {
    this.rows = rows;
    this.refresh();
  }

  /** `318 of 320 matched` */
  get summary(): string {
    const matched = this.rows.filter(row => row.state === 'matched').length;
    return this.rows.length ? `${matched.toLocaleString('en')} of ${this.rows.length.toLocaleString('en')} matched` : '';
  }

  private refresh(): void {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.rows.filter(row => {
      if (this.wrong.checked && row.state === 'matched') {
        return false;
      }
      const text = `${row.torch_name} ${row.mlx_name} ${shapeText(row.torch_shape)} ${shapeText(row.mlx_shape)} ${row.state} ${row.dtype}`;
      return words.every(word => text.toLowerCase().includes(word));
    });
    this.found.textContent = this.shown.length === this.rows.length ? '' : `${this.shown.length.toLocaleString('en')} found`;
    this.list.setLength(this.shown.length);
  }

  private fit(): void {
    const height = this.node.clientWidth >= WIDE_FROM ? WIDE : NARROW;
    this.node.classList.toggle('t2m-lab-wide', height === WIDE);
    if (height !== this.list.height) {
      this.list.height = height;
      this.list.paint();
    }
  }

  private drawRow(index: number): HTMLElement {
    const row = this.shown[index];
    const { status, words } = STATES[row.state] ?? STATES.missing;
    const side = (name: string, shape: number[], nothing: string) =>
      element(
        'span',
        't2m-lab-side',
        // A long name is cut at its start: the end tells parameters apart.
        element('span', name ? 't2m-lab-name' : 't2m-lab-dim', element('bdi', '', name || nothing)),
        element('span', 't2m-lab-dim t2m-lab-shape', name ? shapeText(shape) : '')
      );
    const axes = row.state === 'matched' ? axesText(row.axes) : words;
    const made = element(
      'div',
      't2m-lab-weight',
      glyph(status),
      side(row.torch_name, row.torch_shape, 'nothing in torch'),
      element('span', 't2m-lab-arrow t2m-lab-dim', '→'),
      side(row.mlx_name, row.mlx_shape, 'nothing in MLX'),
      element('span', `t2m-lab-axes ${row.state === 'matched' ? 't2m-lab-dim' : `t2m-lab-${status}`}`, axes)
    );
    made.dataset.state = row.state;
    made.title = `${row.torch_name || '–'} ${shapeText(row.torch_shape)} ${row.dtype}\n→ ${row.mlx_name || '–'} ${shapeText(row.mlx_shape)}\naxes ${axesText(row.axes)} · ${words}`;
    made.setAttribute('role', 'listitem');
    return made;
  }

  private readonly tools = element('div', 't2m-lab-tools');
  private readonly search = element('input', 't2m-lab-search');
  private readonly wrong = element('input');
  private readonly found = element('span', 't2m-lab-dim');
  private readonly list = new VirtualList(NARROW, index => this.drawRow(index));
  private rows: WeightRow[] = [];
  private shown: WeightRow[] = [];
}

/** `0 2 3 1`: which axis of torch's tensor each axis of MLX's is; a dash where nothing moves. */
function axesText(axes: number[]): string {
  if (axes.every((axis, index) => axis === index)) {
    return '–';
  }
  return axes.join(' ');
}
