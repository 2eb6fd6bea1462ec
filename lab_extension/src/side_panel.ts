// The panel on the right: how far the port in front is, its modules, and its weights.

import { Widget } from '@lumino/widgets';

import { button, element } from './dom';
import { drawLadder } from './ladder_view';
import { GLYPHS, MEANINGS } from './status';
import { PortState, Status } from './messages';
import { Notebooks } from './notebooks';
import { PortSession } from './port_session';
import { TreeView } from './tree_view';
import { WeightsView } from './weights_view';

const ORDER = Object.keys(GLYPHS) as Status[];

export class SidePanel extends Widget {
  constructor(private readonly notebooks: Notebooks) {
    super();
    this.id = 't2m-notebook-panel';
    this.addClass('t2m-lab-panel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'MLX port');
    this.node.append(this.head, this.empty, this.body);
    this.body.append(
      this.ladder,
      section('Modules', this.treeNote, this.tree.node, 't2m-lab-section-tree'),
      section('Weights', this.weightsNote, this.weights.node, 't2m-lab-section-weights')
    );
    notebooks.changed.connect(this.schedule, this);
    notebooks.cellChanged.connect(this.followCell, this);
    this.refresh();
  }

  protected onAfterShow(): void {
    this.refresh();
  }

  private schedule(): void {
    if (!this.scheduled) {
      this.scheduled = true;
      requestAnimationFrame(() => {
        this.scheduled = false;
        if (!this.isDisposed && this.isVisible) {
          this.refresh();
        }
      });
    }
  }

  private refresh(): void {
    const session = this.notebooks.current?.session ?? null;
    const state = session?.state ?? null;
    this.body.hidden = !state;
    this.empty.hidden = Boolean(state);
    this.head.replaceChildren(...this.drawHead(session, state));
    if (!state) {
      this.empty.textContent = emptyText(session);
    } else {
      this.ladder.replaceChildren(drawLadder(state.ladder ?? []));
      this.tree.show(state);
      this.weights.show(state.weights ?? []);
      this.weightsNote.textContent = this.weights.summary;
      this.treeNote.replaceChildren();
      if (state.first_red) {
        const path = state.first_red.path || 'the root';
        this.treeNote.append(
          button(`${GLYPHS.DIVERGES} first red`, `Go to ${path}, the first module that differs`, () => this.goToFirstRed())
        );
      }
    }
    this.followCell();
  }

  /** Title, choice of port, score, and the bar of all statuses. */
  private drawHead(session: PortSession | null, state: PortState | null): HTMLElement[] {
    const title = element('div', 't2m-lab-title');
    if (session && session.ports.length > 1) {
      const choice = element('select', 't2m-lab-choice');
      choice.setAttribute('aria-label', 'port');
      choice.append(...session.ports.map(name => new Option(name, name, false, name === session.port)));
      choice.addEventListener('change', () => session.showPort(choice.value));
      title.append(choice);
    } else {
      title.append(element('b', '', session?.port || 'MLX port'));
    }
    if (!state) {
      return [title];
    }
    const open = (state.counts.DIVERGES ?? 0) + (state.counts.MISSING ?? 0) + (state.counts.REFUSED ?? 0);
    const status: Status = state.first_red ? 'DIVERGES' : open ? 'PARTIAL' : state.counts.PROVEN ? 'PROVEN' : 'MAPPED';
    const score = element('span', `t2m-lab-score t2m-lab-${status}`, `${GLYPHS[status]} ${state.summary}`);
    score.setAttribute('role', 'status');
    title.append(element('span', 't2m-lab-space'));
    title.append(score);
    const bar = element('div', 't2m-lab-bar');
    bar.setAttribute('aria-hidden', 'true');
    for (const one of ORDER) {
      const count = state.counts[one] ?? 0;
      if (count) {
        const part = element('i');
        part.style.flexGrow = String(count);
        part.style.background = `var(--t2m-${one.toLowerCase()})`;
        part.title = `${one.toLowerCase()} ${count}: ${MEANINGS[one]}`;
        bar.append(part);
      }
    }
    const notice = session?.notice ? element('div', 't2m-lab-notice', session.notice) : null;
    return [title, bar, notice].filter(part => part !== null) as HTMLElement[];
  }

  /** The module whose class is in the active cell becomes the selected one. */
  private followCell(): void {
    const view = this.notebooks.current;
    const cell = view?.activeCell;
    const state = view?.session.state;
    if (!cell || !state || view.session.portOf(cell) !== state.port || !this.isVisible) {
      return;
    }
    const key = `${state.port} ${cell.id} ${cell.head.class}`;
    const paths = state.classes[cell.head.class]?.paths;
    if (key !== this.followed && paths?.length) {
      this.followed = key;
      const red = state.first_red?.class === cell.head.class ? state.first_red.path : '';
      this.tree.select(paths.find(path => path === red) ?? paths[0]);
    }
  }

  private goToFirstRed(): void {
    const red = this.notebooks.current?.session.state?.first_red;
    if (red) {
      this.tree.select(red.path);
      this.goToModule(red.path);
    }
  }

  /** Brings the cell of the class that owns a module into sight. */
  goToModule(path: string): void {
    const view = this.notebooks.current;
    const state = view?.session.state;
    if (!view || !state) {
      return;
    }
    const owners = new Map(Object.entries(state.classes).flatMap(([name, facts]) => facts.paths.map(p => [p, name])));
    for (let at = path; ; at = at.split('.').slice(0, -1).join('.')) {
      const owner = owners.get(at);
      const cell = owner ? view.session.cellOf(owner, state.port) : null;
      if (cell) {
        this.followed = `${state.port} ${cell.id} ${cell.head.class}`; // the module chosen stays selected
        void view.goTo(cell);
        return;
      }
      if (!at) {
        return;
      }
    }
  }

  private readonly tree = new TreeView(path => this.goToModule(path));
  private readonly weights = new WeightsView();
  private readonly head = element('div', 't2m-lab-panel-head');
  private readonly empty = element('div', 't2m-lab-empty');
  private readonly body = element('div', 't2m-lab-panel-body');
  private readonly ladder = element('div');
  private readonly treeNote = element('span');
  private readonly weightsNote = element('span', 't2m-lab-dim');
  private scheduled = false;
  private followed = '';
}

function section(title: string, note: HTMLElement, content: HTMLElement, classes: string): HTMLElement {
  const made = element('section', `t2m-lab-section ${classes}`);
  const heading = button(title, `Show or hide: ${title.toLowerCase()}`, () => {
    content.hidden = !content.hidden;
    made.classList.toggle('t2m-lab-closed', content.hidden);
    heading.setAttribute('aria-expanded', String(!content.hidden));
  }, 't2m-lab-heading');
  heading.setAttribute('aria-expanded', 'true');
  made.append(element('div', 't2m-lab-section-head', heading, element('span', 't2m-lab-space'), note), content);
  return made;
}

function emptyText(session: PortSession | null): string {
  if (!session) {
    return 'Open a notebook and port a model with %t2m_port; its modules, parity and weights show here.';
  }
  const { obstacle } = session.link;
  return obstacle ? `${obstacle[0].toUpperCase()}${obstacle.slice(1)}` : 'No port in this kernel yet: run %t2m_port model x.';
}
