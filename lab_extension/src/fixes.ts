// Changes that the extension makes in a cell on request. Each is one step for undo in that cell.

import { LiveCell } from './live_cell';
import { Fix } from './messages';

/** Replaces the lines of a fix. False when they are not there any more. */
export function applyFix(cell: LiveCell, fix: Fix): boolean {
  const lines = cell.text.split('\n');
  const before = fix.before.split('\n').map(line => line.trimEnd());
  // A line may have moved since the check; it is still the one meant when there is just one such place.
  const places = lines.map((_, index) => index).filter(index => matches(lines, index, before));
  const named = fix.line; // from 1 below the magic line, hence the index in the whole text
  const at = places.includes(named) ? named : places.length === 1 ? places[0] : -1;
  if (at < 0) {
    return false;
  }
  const start = lines.slice(0, at).reduce((sum, line) => sum + line.length + 1, 0);
  const length = lines.slice(at, at + before.length).join('\n').length;
  step(cell, () => cell.model.sharedModel.updateSource(start, start + length, fix.after));
  return true;
}

/** Replaces the whole text of a cell. */
export function replaceText(cell: LiveCell, text: string): void {
  step(cell, () => cell.model.sharedModel.updateSource(0, cell.text.length, text));
}

function matches(lines: string[], index: number, wanted: string[]): boolean {
  return wanted.every((line, offset) => lines[index + offset]?.trimEnd() === line);
}

/** Keeps what was typed just before, and what comes after, apart from this change. */
function step(cell: LiveCell, change: () => void): void {
  const history = (cell.model.sharedModel as { undoManager?: { stopCapturing(): void } | null }).undoManager;
  history?.stopCapturing();
  change();
  history?.stopCapturing();
}
