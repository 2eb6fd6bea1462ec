// The module tree of the side panel, in live colours.

import { element } from './dom';
import { CheckpointMark, ModuleNode, PortState } from './messages';
import { shortDescription } from './module_words';
import { differenceText, glyph, isProblem, MEANINGS } from './status';
import { VirtualList } from './virtual_list';

const ROW = 22; // height in CSS pixels, as in panel.css
const INDENT = 14;
const OPEN_AT_FIRST = 40; // lines that are opened without being asked for
let count = 0;

interface Line {
  node: ModuleNode;
  depth: number;
}

export class TreeView {
  /** `choose` is called with the path of a module that was clicked, or entered with the key. */
  constructor(private readonly choose: (path: string) => void) {
    const { node } = this.list;
    node.id = this.name;
    node.tabIndex = 0;
    node.setAttribute('role', 'tree');
    node.setAttribute('aria-label', 'modules');
    node.addEventListener('click', event => this.onClick(event));
    node.addEventListener('keydown', event => this.onKey(event));
    node.dataset.lmSuppressShortcuts = 'true'; // arrows and Enter are for the tree
  }

  get node(): HTMLElement {
    return this.list.node;
  }

  /** Shows a new state; what is open and selected stays. */
  show(state: PortState | null): void {
    const isNew = state?.port !== this.state?.port || !this.state?.tree;
    this.state = state;
    this.stale = new Set((state?.stale ?? []).flatMap(name => state?.classes[name]?.paths ?? []));
    if (isNew) {
      this.open = new Set();
      this.selected = '';
      this.openFirst();
    }
    this.refresh();
  }

  /** Selects the module of a path, opens what it is in, and brings it into sight. */
  select(path: string): void {
    if (!this.state?.tree) {
      return;
    }
    this.selected = path;
    for (const above of ancestors(path)) {
      this.open.add(above);
    }
    this.refresh();
    const at = this.place();
    if (at >= 0) {
      this.list.reveal(at);
    }
  }

  private openFirst(): void {
    const root = this.state?.tree;
    if (!root) {
      return;
    }
    this.open.add(root.path);
    const red = this.state?.first_red;
    if (red) {
      ancestors(red.path).forEach(path => this.open.add(path));
    }
    let level = root.children ?? [];
    let lines = 1 + level.length;
    while (level.length && lines + level.reduce((sum, node) => sum + (node.children?.length ?? 0), 0) <= OPEN_AT_FIRST) {
      level.forEach(node => node.children?.length && this.open.add(node.path));
      level = level.flatMap(node => node.children ?? []);
      lines += level.length;
    }
  }

  private refresh(): void {
    this.lines = [];
    const add = (node: ModuleNode, depth: number) => {
      this.lines.push({ node, depth });
      if (this.open.has(node.path)) {
        node.children?.forEach(child => add(child, depth + 1));
      }
    };
    if (this.state?.tree) {
      add(this.state.tree, 0);
    }
    this.list.setLength(this.lines.length);
    const at = this.place();
    if (at >= 0) {
      this.node.setAttribute('aria-activedescendant', `${this.name}-${at}`);
    }
  }

  private drawLine(index: number): HTMLElement {
    const { node, depth } = this.lines[index];
    const name = node.name || node.class_name;
    const opens = Boolean(node.children?.length);
    const indent = element('span', 't2m-lab-indent');
    indent.style.width = `${depth * INDENT}px`;
    const sign = glyph(node.status);
    const stale = this.stale.has(node.path);
    const about = shortDescription(node.class_name, node.description ?? '');
    const words = `${node.class_name === name ? '' : node.class_name} ${about}`.trim();
    // The panel is narrow: what is wrong comes first.
    const marks = [...(node.checkpoints ?? [])].sort((one, other) => Number(!one.bad) - Number(!other.bad));
    const row = element(
      'div',
      't2m-lab-row',
      element(
        'span',
        't2m-lab-label',
        indent,
        element('span', 't2m-lab-twisty', opens ? (this.open.has(node.path) ? '▾' : '▸') : ''),
        sign,
        element('span', 't2m-lab-name', name),
        ...marks.map(mark =>
          element('span', mark.bad ? 't2m-lab-mark t2m-lab-DIVERGES' : 't2m-lab-mark', shortMark(mark))
        ),
        element('span', 't2m-lab-dim', ` ${words}`)
      ),
      element('span', `t2m-lab-number t2m-lab-${node.status}`, differenceText(node.max_difference))
    );
    const state = stale ? 'being checked again' : MEANINGS[node.status];
    row.id = `${this.name}-${index}`;
    row.dataset.path = node.path;
    row.dataset.status = node.status;
    row.title = [`${node.path || 'the root'} · ${node.class_name}(${node.description ?? ''})`, state, node.reason, ...marks.map(longMark)]
      .filter(Boolean)
      .join('\n');
    row.classList.toggle('t2m-lab-stale', stale);
    row.setAttribute('role', 'treeitem');
    row.setAttribute('aria-level', String(depth + 1));
    row.setAttribute('aria-selected', String(node.path === this.selected));
    row.setAttribute('aria-label', [`${name} ${words}`, stale ? state : node.status.toLowerCase(), ...marks.map(shortMark)].join(', '));
    if (opens) {
      row.setAttribute('aria-expanded', String(this.open.has(node.path)));
    }
    return row;
  }

  private place(): number {
    return this.lines.findIndex(line => line.node.path === this.selected);
  }

  private toggle(path: string): void {
    if (!this.open.delete(path)) {
      this.open.add(path);
    }
    this.refresh();
  }

  private onClick(event: MouseEvent): void {
    const target = event.target as HTMLElement;
    const row = target.closest<HTMLElement>('.t2m-lab-row');
    if (!row) {
      return;
    }
    const path = row.dataset.path ?? '';
    if (target.classList.contains('t2m-lab-twisty') && target.textContent) {
      this.toggle(path);
      return;
    }
    this.select(path);
    this.choose(path);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.lines.length) {
      return;
    }
    const at = Math.max(this.place(), 0);
    const line = this.lines[at];
    const goTo = (index: number) => this.select(this.lines[Math.min(Math.max(index, 0), this.lines.length - 1)].node.path);
    const isOpen = this.open.has(line.node.path);
    const opens = Boolean(line.node.children?.length);
    const keys: Record<string, () => void> = {
      ArrowDown: () => goTo(at + 1),
      ArrowUp: () => goTo(at - 1),
      PageDown: () => goTo(at + this.list.page),
      PageUp: () => goTo(at - this.list.page),
      Home: () => goTo(0),
      End: () => goTo(this.lines.length - 1),
      ArrowRight: () => (opens && !isOpen ? this.toggle(line.node.path) : goTo(at + 1)),
      ArrowLeft: () => (opens && isOpen ? this.toggle(line.node.path) : this.select(line.node.path.split('.').slice(0, -1).join('.'))),
      ' ': () => opens && this.toggle(line.node.path),
      Enter: () => this.choose(line.node.path),
      n: () => {
        const problem = (_: Line, step: number) => this.lines[(at + 1 + step) % this.lines.length];
        const next = this.lines.map(problem).find(found => isProblem(found.node.status));
        if (next) {
          this.select(next.node.path);
        }
      }
    };
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      event.stopPropagation();
      act();
    }
  }

  private readonly name = `t2m-lab-tree-${++count}`;
  private readonly list = new VirtualList(ROW, index => this.drawLine(index));
  private state: PortState | null = null;
  private lines: Line[] = [];
  private open = new Set<string>();
  private stale = new Set<string>();
  private selected = '';
}

/** `◆ attn.scores 3 NaN`: a checkpoint and the worst that it saw. */
function shortMark(mark: CheckpointMark): string {
  return ['◆', mark.name, mark.bad || mark.span].filter(Boolean).join(' ');
}

function longMark(mark: CheckpointMark): string {
  return `◆ ${mark.name}: ${[mark.tensor, mark.span, mark.bad].filter(Boolean).join(', ') || 'not measured'}`;
}

/** The paths of everything that a module is in, the root's empty path first. */
function ancestors(path: string): string[] {
  const parts = path.split('.');
  return path ? parts.map((_, index) => parts.slice(0, index).join('.')) : [];
}
