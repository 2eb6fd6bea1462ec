// A scrolling list of lines of one height, of which only those in sight are in the page.

import { element } from './dom';

const SPARE = 8; // lines drawn above and below what is in sight

export class VirtualList {
  /** `draw` makes the line of an index; `height` is that of a line in CSS pixels. */
  constructor(
    public height: number,
    private readonly draw: (index: number) => HTMLElement
  ) {
    this.node.append(this.canvas);
    this.node.addEventListener('scroll', () => this.paint(), { passive: true });
    this.observer.observe(this.node);
  }

  readonly node = element('div', 't2m-lab-list');

  setLength(length: number): void {
    this.length = length;
    this.paint();
  }

  reveal(index: number): void {
    const top = index * this.height;
    if (top < this.node.scrollTop) {
      this.node.scrollTop = top;
    } else if (top + this.height > this.node.scrollTop + this.node.clientHeight) {
      this.node.scrollTop = top + this.height - this.node.clientHeight;
    }
    this.paint();
  }

  /** How many lines fit. */
  get page(): number {
    return Math.max(1, Math.floor(this.node.clientHeight / this.height));
  }

  paint(): void {
    this.canvas.style.height = `${this.length * this.height}px`;
    const from = Math.max(0, Math.floor(this.node.scrollTop / this.height) - SPARE);
    const to = Math.min(this.length, from + this.page + 2 * SPARE + 1);
    const rows = [];
    for (let index = from; index < to; index++) {
      const row = this.draw(index);
      row.style.transform = `translateY(${index * this.height}px)`;
      row.dataset.index = String(index);
      rows.push(row);
    }
    this.canvas.replaceChildren(...rows);
  }

  dispose(): void {
    this.observer.disconnect();
  }

  private readonly canvas = element('div', 't2m-lab-canvas');
  private readonly observer = new ResizeObserver(() => this.paint());
  private length = 0;
}
