// Two texts compared line by line, and shown one below the other.

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { element } from './dom';

export type Change = ' ' | '-' | '+';

const MOST_CELLS = 4_000_000; // of the table below; larger texts are shown as removed and added as a whole

/** The lines of both texts: ` ` in both, `-` in the first alone, `+` in the second alone. */
export function compareLines(before: string, after: string): [Change, string][] {
  const a = before.trimEnd().split('\n');
  const b = after.trimEnd().split('\n');
  const lines: [Change, string][] = [];
  if (a.length * b.length > MOST_CELLS) {
    return [...a.map(line => ['-', line] as [Change, string]), ...b.map(line => ['+', line] as [Change, string])];
  }
  // common[i][j]: the length of the longest common subsequence of a[i:] and b[j:]
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push([' ', a[i++]]);
      j++;
    } else if (j === b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) {
      lines.push(['-', a[i++]]);
    } else {
      lines.push(['+', b[j++]]);
    }
  }
  return lines;
}

/** Shows how a cell differs from what was generated; true when it should be reset. */
export async function askAboutDifference(title: string, generated: string, mine: string): Promise<boolean> {
  const list = element('pre', 't2m-lab-diff');
  for (const [change, line] of compareLines(generated, mine)) {
    const kind = change === '-' ? 'del' : change === '+' ? 'ins' : 'span';
    list.append(element(kind, 't2m-lab-diff-line', `${change === '-' ? '−' : change} ${line}`));
  }
  const same = generated.trimEnd() === mine.trimEnd();
  const body = new Widget({
    node: element(
      'div',
      't2m-lab-dialog',
      element('p', 't2m-lab-dim', same ? 'The cell is as it was generated.' : '− generated · + this cell'),
      list
    )
  });
  const reset = Dialog.warnButton({ label: 'Reset to generated' });
  const keep = Dialog.okButton({ label: same ? 'Close' : 'Keep mine' });
  const answer = await showDialog({ title, body, buttons: same ? [keep] : [reset, keep], defaultButton: same ? 0 : 1 });
  return answer.button.label === reset.label && answer.button.accept;
}
