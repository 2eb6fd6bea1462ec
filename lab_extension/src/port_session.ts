// Everything that is known about the ports of one notebook: its cells, what the kernel said, what was asked.

import { ICellModel } from '@jupyterlab/cells';
import { DocumentRegistry } from '@jupyterlab/docregistry';
import { INotebookModel } from '@jupyterlab/notebook';
import { ISignal, Signal } from '@lumino/signaling';

import { headOf } from './cell_source';
import { insertCells } from './insertion';
import { KernelLink } from './kernel_link';
import { LiveCell } from './live_cell';
import { CellsMessage, CheckResult, FromKernel, PortState, WeightRow } from './messages';

export interface Settings {
  live: boolean;
  debounce: number;
  tolerance: number;
}

export type NotebookContext = DocumentRegistry.IContext<INotebookModel>;

const NO_ANSWER = 20_000; // milliseconds after which a question about a source is given up
const NOTICE = 15_000; // milliseconds that a notice stays

export class PortSession {
  constructor(
    readonly context: NotebookContext,
    private settings: Settings
  ) {
    this.link = new KernelLink(context.sessionContext, () => this.mentionsPorts());
    this.link.received.connect((_, message) => this.receive(message));
    this.link.obstacleChanged.connect(this.onObstacle, this);
    void context.ready.then(() => {
      if (!this.isDisposed) {
        context.model.cells.changed.connect(this.scheduleSync, this);
        this.sync();
      }
    });
    context.disposed.connect(this.dispose, this);
  }

  readonly link: KernelLink;
  readonly cells = new Map<string, LiveCell>();
  readonly states = new Map<string, PortState>();
  ports: string[] = [];
  /** The port that is shown and that a cell without `--name` belongs to. */
  port = '';
  isDisposed = false;

  /** The set of live cells changed. */
  get cellsChanged(): ISignal<this, void> {
    return this.cellsSignal;
  }

  /** The state of a port, the choice of the port, or the kernel changed. */
  get stateChanged(): ISignal<this, void> {
    return this.stateSignal;
  }

  get state(): PortState | null {
    return this.states.get(this.port) ?? null;
  }

  /** Something happened that belongs to no cell: the worker was restarted. */
  notice = '';

  portOf(cell: LiveCell): string {
    return cell.head.port || this.port;
  }

  cellOf(className: string, port: string): LiveCell | null {
    const found = [...this.cells.values()].filter(c => c.head.class === className);
    return found.find(c => c.head.port === port) ?? found.find(c => this.portOf(c) === port) ?? null;
  }

  /** The live cells in the notebook's order. */
  get inOrder(): LiveCell[] {
    const models = this.context.model?.cells;
    if (!models) {
      return [];
    }
    return [...models].map(model => this.cells.get(model.id)).filter(cell => cell !== undefined) as LiveCell[];
  }

  showPort(name: string): void {
    this.port = name;
    this.stateSignal.emit();
  }

  applySettings(settings: Settings): void {
    const before = this.settings;
    this.settings = settings;
    this.sendSettings();
    const again = settings.tolerance !== before.tolerance || (settings.live && !before.live);
    if (again && !this.link.obstacle) {
      this.cells.forEach(cell => this.check(cell, settings.tolerance !== before.tolerance));
    }
  }

  /** Asks the kernel about a cell now. */
  check(cell: LiveCell, force = false): void {
    window.clearTimeout(cell.timer);
    if (cell.misplaced) {
      cell.nextSequence();
      cell.setPhase('answered');
      return;
    }
    const sent =
      !this.link.obstacle &&
      this.ports.length > 0 &&
      this.link.send({
        type: 'check',
        cell: cell.id,
        seq: cell.nextSequence(),
        port: cell.head.port,
        class: cell.head.class,
        source: cell.classSource,
        force
      });
    cell.setPhase(sent ? 'checking' : cell.result ? 'edited' : 'waiting');
  }

  checkAll(force = false): void {
    this.inOrder.forEach(cell => this.check(cell, force));
  }

  /** The source of a class as torch has it, or as it was generated. Rejects without a kernel. */
  ask(type: 'torch_source' | 'generated', className: string, port: string): Promise<string> {
    const request = `${type}-${++this.requests}`;
    return new Promise((resolve, reject) => {
      if (!this.link.send({ type, port, class: className, request })) {
        reject(new Error(this.link.obstacle));
        return;
      }
      const timer = window.setTimeout(() => {
        this.asked.delete(request);
        reject(new Error(`The kernel did not answer about ${className}. It may be busy; try again.`));
      }, NO_ANSWER);
      this.asked.set(request, text => {
        window.clearTimeout(timer);
        resolve(text);
      });
    });
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.isDisposed = true;
    window.clearTimeout(this.noticeTimer);
    this.link.dispose();
    this.cells.forEach(cell => cell.dispose());
    this.cells.clear();
    Signal.clearData(this);
  }

  // ---------------------------------------------------------------- the notebook changes

  /** Moving a cell removes and inserts it; only what holds afterwards counts. */
  private scheduleSync(): void {
    if (!this.scheduled) {
      this.scheduled = true;
      queueMicrotask(() => {
        this.scheduled = false;
        if (!this.isDisposed && this.context.model) {
          this.sync();
        }
      });
    }
  }

  private sync(): void {
    const seen = new Set<string>();
    let changed = false;
    for (const model of this.context.model.cells) {
      if (model.type !== 'code') {
        continue;
      }
      model.contentChanged.connect(this.onContent, this); // connecting twice is connecting once
      const head = headOf(model);
      if (!head) {
        continue;
      }
      seen.add(model.id);
      const known = this.cells.get(model.id);
      if (!known) {
        const cell = new LiveCell(model.id, model, head);
        this.cells.set(model.id, cell);
        this.check(cell);
        changed = true;
      } else if (known.model !== model) {
        known.adopt(model, head);
        this.onContent(model);
        changed = true;
      }
    }
    for (const [id, cell] of this.cells) {
      if (!seen.has(id)) {
        this.cells.delete(id);
        cell.dispose();
        this.link.send({ type: 'forget', cell: id });
        changed = true;
      }
    }
    this.link.probe();
    if (changed) {
      this.cellsSignal.emit();
    }
  }

  /** Whether any code of the notebook speaks of us. */
  private mentionsPorts(): boolean {
    const cells = this.context.isReady ? [...this.context.model.cells] : [];
    return cells.some(model => model.type === 'code' && model.sharedModel.getSource().includes('t2m'));
  }

  private onContent(model: ICellModel): void {
    const cell = this.cells.get(model.id);
    const head = headOf(model);
    if (!cell || !head) {
      if (cell || head) {
        this.scheduleSync(); // the first line became or ceased to be a magic
      }
      return;
    }
    if (!cell.noteText(head)) {
      return;
    }
    window.clearTimeout(cell.timer);
    cell.nextSequence(); // whatever is under way is about an older text
    if (!this.settings.live) {
      cell.setPhase('edited');
      return;
    }
    cell.setPhase('typing');
    cell.timer = window.setTimeout(() => this.check(cell), this.settings.debounce);
  }

  // ---------------------------------------------------------------- the kernel speaks

  private onObstacle(): void {
    if (this.link.obstacle) {
      this.ports = [];
      this.states.clear();
      this.port = '';
      this.notice = '';
      this.cells.forEach(cell => cell.forgetResult());
    }
    this.stateSignal.emit();
  }

  private receive(message: FromKernel): void {
    switch (message.type) {
      case 'hello':
        this.sendSettings();
        this.addPorts(message.ports ?? []);
        this.port = message.last || this.port;
        this.checkAll();
        this.stateSignal.emit();
        break;
      case 'cells':
        this.onCells(message);
        break;
      case 'checking':
        this.withCurrent(message.cell, message.seq, cell => cell.setPhase('checking'));
        break;
      case 'result':
        this.withCurrent(message.cell, message.seq, cell => cell.answer(message));
        this.mergeWeights(message);
        break;
      case 'state':
        this.onState(message);
        break;
      case 'torch_source':
      case 'generated':
        this.asked.get(message.request)?.(message.text);
        this.asked.delete(message.request);
        break;
      case 'worker':
        this.note(message.text);
        break;
    }
  }

  /** An answer to an older text is dropped. One without a number is of a cell that was run. */
  private withCurrent(id: string, sequence: number | null, act: (cell: LiveCell) => void): void {
    const cell = this.cells.get(id);
    if (cell && (sequence === cell.sequence || sequence === null || sequence === undefined)) {
      act(cell);
    }
  }

  private onCells(message: CellsMessage): void {
    this.addPorts([message.port]);
    this.port = message.port;
    const done = insertCells(this, message, this.context.model.cells);
    this.sync();
    done.kept.forEach((generated, cell) => cell.setKept(generated));
    const classes = [...done.kept.keys()].map(cell => cell.head.class);
    if (classes.length) {
      this.link.send({ type: 'kept', port: message.port, classes });
    }
    this.cells.forEach(cell => this.portOf(cell) === message.port && this.check(cell));
    this.stateSignal.emit();
  }

  private onState(state: PortState): void {
    const isNew = !this.ports.includes(state.port);
    this.addPorts([state.port]);
    this.states.set(state.port, state);
    if (isNew || !this.port) {
      this.port = state.port;
      this.cells.forEach(cell => cell.phase === 'waiting' && this.check(cell));
    }
    const stale = new Set(state.stale ?? []);
    for (const cell of this.cells.values()) {
      if (this.portOf(cell) === state.port) {
        cell.setStale(stale.has(cell.head.class));
      }
    }
    this.stateSignal.emit();
  }

  private mergeWeights(result: CheckResult): void {
    const state = this.states.get(result.port);
    if (!state || !result.weights?.length) {
      return;
    }
    const key = (row: WeightRow) => (row.torch_name ? `torch ${row.torch_name}` : `mlx ${row.mlx_name}`);
    const fresh = new Map(result.weights.map(row => [key(row), row]));
    const rows = state.weights.map(row => fresh.get(key(row)) ?? row);
    const known = new Set(state.weights.map(key));
    rows.push(...result.weights.filter(row => !known.has(key(row))));
    this.states.set(result.port, { ...state, weights: rows });
    this.stateSignal.emit();
  }

  /** Says something for a while. */
  private note(text: string): void {
    this.notice = text;
    this.stateSignal.emit();
    window.clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => {
      this.notice = '';
      this.stateSignal.emit();
    }, NOTICE);
  }

  private addPorts(names: string[]): void {
    this.ports = [...new Set([...this.ports, ...names])];
  }

  private sendSettings(): void {
    const { tolerance, live } = this.settings;
    this.link.send({ type: 'settings', tolerance: tolerance === 1 ? null : tolerance, live });
  }

  private noticeTimer = 0;
  private scheduled = false;
  private requests = 0;
  private readonly asked = new Map<string, (text: string) => void>();
  private readonly cellsSignal = new Signal<this, void>(this);
  private readonly stateSignal = new Signal<this, void>(this);
}
