// All open notebooks: one session for each document, one view for each panel, and which is in front.

import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ISignal, Signal } from '@lumino/signaling';

import { BadgeActions } from './badge';
import { LiveCell } from './live_cell';
import { NotebookView } from './notebook_view';
import { NotebookContext, PortSession, Settings } from './port_session';

export class Notebooks {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly actions: BadgeActions,
    private settings: Settings
  ) {
    tracker.widgetAdded.connect((_, panel) => this.add(panel));
    tracker.forEach(panel => this.add(panel));
    tracker.currentChanged.connect(() => this.signal.emit());
    tracker.activeCellChanged.connect(() => this.cellSignal.emit());
  }

  /** The view of the notebook in front. */
  get current(): NotebookView | null {
    const panel = this.tracker.currentWidget;
    return panel ? this.views.get(panel) ?? null : null;
  }

  /** Another notebook came to the front, or what is known about the one in front changed. */
  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** Another cell became active, or something about the live cells changed. */
  get cellChanged(): ISignal<this, void> {
    return this.cellSignal;
  }

  /** The view in front of all that show this cell, and else any. */
  viewOf(cell: LiveCell): NotebookView | null {
    const shows = (view: NotebookView | null) => view?.session.cells.get(cell.id) === cell;
    return shows(this.current) ? this.current : [...this.views.values()].find(shows) ?? null;
  }

  applySettings(settings: Settings): void {
    this.settings = settings;
    new Set([...this.views.values()].map(view => view.session)).forEach(session => session.applySettings(settings));
  }

  /** A cell was run: what it says now counts, whatever the settings. */
  executed(id: string): void {
    for (const { session } of this.views.values()) {
      const cell = session.cells.get(id);
      if (cell && cell.phase !== 'answered') {
        session.check(cell);
        return;
      }
    }
  }

  private add(panel: NotebookPanel): void {
    if (this.views.has(panel)) {
      return;
    }
    const session = this.sessionOf(panel.context);
    this.views.set(panel, new NotebookView(panel, session, this.actions));
    panel.disposed.connect(() => {
      this.views.delete(panel);
      this.signal.emit();
    });
    this.signal.emit();
  }

  /** Two panels may show one document: they share what is known and asked. */
  private sessionOf(context: NotebookContext): PortSession {
    const known = this.sessions.get(context);
    if (known && !known.isDisposed) {
      return known;
    }
    const session = new PortSession(context, this.settings);
    this.sessions.set(context, session);
    session.stateChanged.connect(() => this.current?.session === session && this.signal.emit());
    session.cellsChanged.connect(() => {
      session.cells.forEach(cell => cell.changed.connect(this.onCell, this));
      this.cellSignal.emit();
    });
    return session;
  }

  private onCell(): void {
    this.cellSignal.emit();
  }

  private readonly sessions = new WeakMap<NotebookContext, PortSession>();
  private readonly views = new Map<NotebookPanel, NotebookView>();
  private readonly signal = new Signal<this, void>(this);
  private readonly cellSignal = new Signal<this, void>(this);
}
