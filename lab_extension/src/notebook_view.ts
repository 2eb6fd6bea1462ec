// One notebook panel: keeps a view beside every live cell that it shows.

import { CodeCell } from '@jupyterlab/cells';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

import { BadgeActions } from './badge';
import { CellView } from './cell_view';
import { LiveCell } from './live_cell';
import { PortSession } from './port_session';

export class NotebookView {
  constructor(
    readonly panel: NotebookPanel,
    readonly session: PortSession,
    private readonly actions: BadgeActions
  ) {
    session.cellsChanged.connect(this.schedule, this);
    session.stateChanged.connect(this.onState, this);
    panel.content.modelContentChanged.connect(this.schedule, this);
    panel.content.modelChanged.connect(this.schedule, this);
    panel.disposed.connect(this.dispose, this);
    void panel.revealed.then(() => this.schedule());
    this.schedule();
  }

  /** The live cell that is active in this panel. */
  get activeCell(): LiveCell | null {
    const active = this.panel.content.activeCell;
    return active ? this.session.cells.get(active.model.id) ?? null : null;
  }

  /** Selects a cell and brings it into sight. */
  async goTo(cell: LiveCell): Promise<void> {
    const index = this.panel.content.widgets.findIndex(widget => widget.model.id === cell.id);
    if (index < 0) {
      return;
    }
    this.panel.content.deselectAll();
    this.panel.content.activeCellIndex = index;
    const widget = this.panel.content.widgets[index];
    NotebookActions.expandParent(widget, this.panel.content);
    await this.panel.content.scrollToCell(widget, 'smart');
    widget.node.classList.remove('t2m-lab-flash');
    void widget.node.offsetWidth; // restarts the animation
    widget.node.classList.add('t2m-lab-flash');
  }

  dispose(): void {
    this.session.cellsChanged.disconnect(this.schedule, this);
    this.session.stateChanged.disconnect(this.onState, this);
    this.views.forEach(view => view.dispose());
    this.views.clear();
  }

  /** The widgets of new cells are made after the model tells of them. */
  private schedule(): void {
    if (!this.scheduled) {
      this.scheduled = true;
      requestAnimationFrame(() => {
        this.scheduled = false;
        if (!this.panel.isDisposed && !this.session.isDisposed) {
          this.sync();
        }
      });
    }
  }

  private sync(): void {
    const seen = new Set<string>();
    for (const widget of this.panel.content.widgets) {
      const cell = this.session.cells.get(widget.model?.id ?? '');
      if (!cell || !(widget instanceof CodeCell) || widget.isDisposed) {
        continue;
      }
      seen.add(cell.id);
      const view = this.views.get(cell.id);
      if (view && view.widget === widget && view.cell === cell && !view.isDisposed) {
        continue;
      }
      view?.dispose();
      this.views.set(cell.id, new CellView(widget, cell, this.actions, () => this.session.link.obstacle));
    }
    for (const [id, view] of this.views) {
      if (!seen.has(id)) {
        view.dispose();
        this.views.delete(id);
      }
    }
  }

  private onState(): void {
    const obstacle = this.session.link.obstacle;
    if (obstacle !== this.obstacle) {
      this.obstacle = obstacle;
      this.views.forEach(view => view.draw());
    }
  }

  private scheduled = false;
  private obstacle = '';
  private readonly views = new Map<string, CellView>();
}
