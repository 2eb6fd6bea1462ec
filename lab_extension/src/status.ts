// How a status looks and reads: the glyphs and words of t2m_notebook/types and render/words.py.

import { element } from './dom';
import { CheckState, Status } from './messages';

export const GLYPHS: Record<Status, string> = {
  PROVEN: '✓',
  MAPPED: '●',
  PARTIAL: '◐',
  DIVERGES: '✗',
  REFUSED: '!',
  MISSING: '?',
  UNSEEN: '–'
};

export const MEANINGS: Record<Status, string> = {
  PROVEN: 'measured equal to torch',
  MAPPED: 'every part has a rule, not measured',
  PARTIAL: 'runs, with a stated caveat',
  DIVERGES: 'measured different from torch',
  REFUSED: "a rule says why it can't be ported",
  MISSING: 'no rule for an operation',
  UNSEEN: 'never called by this example'
};

const OF_STATE: Record<CheckState, Status> = {
  proven: 'PROVEN',
  diverges: 'DIVERGES',
  error: 'DIVERGES',
  stopped: 'REFUSED',
  unknown: 'UNSEEN'
};

/** The status whose colour the result of a check has. */
export function statusOf(state: CheckState): Status {
  return OF_STATE[state] ?? 'UNSEEN';
}

/** True for what the reader has to look at. */
export function isProblem(status: Status | ''): boolean {
  return status !== '' && status !== 'PROVEN' && status !== 'MAPPED' && status !== 'UNSEEN';
}

export function glyph(status: Status, text = GLYPHS[status] ?? '–'): HTMLElement {
  const made = element('span', `t2m-lab-glyph t2m-lab-${status}`, text);
  made.setAttribute('aria-hidden', 'true');
  return made;
}

/** `2×3×4`; a 0-d tensor reads `scalar`. */
export function shapeText(shape: number[] | undefined): string {
  return shape ? shape.join('×') || 'scalar' : '';
}

/** A measured difference: `4.1e-02`; `0` when equal to the bit; empty when not measured. */
export function differenceText(difference: number | string | null | undefined): string {
  if (difference === null || difference === undefined) {
    return '';
  }
  const value = Number(difference);
  if (!Number.isFinite(value)) {
    return String(difference);
  }
  return value === 0 ? '0' : value.toExponential(1).replace(/e([+-])(\d)$/, 'e$10$2');
}

/** `1 instance`, `6 instances`. */
export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
