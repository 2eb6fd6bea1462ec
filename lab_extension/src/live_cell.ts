// One `%%t2m_cell` cell of one notebook: what was asked about it and what came back. No DOM here.

import { ICellModel } from '@jupyterlab/cells';
import { ISignal, Signal } from '@lumino/signaling';

import { classSource, Head, secondMagic } from './cell_source';
import { CheckResult } from './messages';

/**
 * `waiting`: nothing was asked yet. `edited`: changed since it was asked, and checks while typing are off.
 * `typing`: changed, the pause before the check is running. `checking`: asked. `answered`: the result is of
 * this text.
 */
export type Phase = 'waiting' | 'edited' | 'typing' | 'checking' | 'answered';

export class LiveCell {
  constructor(
    readonly id: string,
    public model: ICellModel,
    public head: Head
  ) {
    this.source = this.text;
  }

  /** The whole text of the cell. */
  get text(): string {
    return this.model.sharedModel.getSource();
  }

  get classSource(): string {
    return classSource(this.text);
  }

  /** What is wrong with the cell as such, before any kernel reads it; empty when nothing is. */
  get misplaced(): string {
    const line = secondMagic(this.text);
    return line ? `there is a second %%t2m_cell in line ${line}; split the cell there` : '';
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** Takes over the model after a move, undo or reload. */
  adopt(model: ICellModel, head: Head): void {
    this.model = model;
    this.head = head;
  }

  /** True once for every change of the text or of what the cell is for. */
  noteText(head: Head): boolean {
    const text = this.text;
    const same = text === this.source && head.class === this.head.class && head.port === this.head.port;
    this.source = text;
    this.head = head;
    return !same;
  }

  setPhase(phase: Phase): void {
    this.phase = phase;
    this.signal.emit();
  }

  /** A new sequence number; only its answer counts from now on. */
  nextSequence(): number {
    this.sequence += 1;
    return this.sequence;
  }

  answer(result: CheckResult): void {
    this.result = result;
    this.stale = false;
    this.setPhase('answered');
  }

  setStale(stale: boolean): void {
    if (stale !== this.stale) {
      this.stale = stale;
      this.signal.emit();
    }
  }

  /** The newly generated source that a rerun would have written, had the cell not been edited. */
  setKept(generated: string | null): void {
    this.kept = generated;
    this.signal.emit();
  }

  /** What can't be checked any more (kernel gone) is not shown as if it had been. */
  forgetResult(): void {
    this.result = null;
    this.stale = false;
    this.setPhase('waiting');
  }

  dispose(): void {
    window.clearTimeout(this.timer);
    Signal.clearData(this);
  }

  phase: Phase = 'waiting';
  result: CheckResult | null = null;
  kept: string | null = null;
  stale = false;
  sequence = 0;
  timer = 0;
  private source: string;
  private readonly signal = new Signal<this, void>(this);
}
