// The cells of a port come into the notebook: added below the cell that ran, updated when they were not edited.

import { CodeCellModel, ICellModel } from '@jupyterlab/cells';
import type { SharedCell } from '@jupyter/ydoc';

import { fingerprint, headOf, isUntouched, metadataOf, PortMetadata, setMetadata } from './cell_source';
import { LiveCell } from './live_cell';
import { CellsMessage } from './messages';
import type { PortSession } from './port_session';

export interface Inserted {
  /** Edited cells that were left alone, each with the text that was generated now. */
  kept: Map<LiveCell, string>;
}

interface Wanted {
  source: string;
  metadata: PortMetadata;
}

/** Does what a `cells` message asks for, as one step for undo. */
export function insertCells(
  session: PortSession,
  message: CellsMessage,
  models: Iterable<ICellModel>
): Inserted {
  const kept = new Map<LiveCell, string>();
  const notebook = session.context.model.sharedModel;
  const wanted: Wanted[] = message.cells.map(cell => ({
    source: cell.source,
    metadata: { port: message.port, class: cell.class, generated: cell.generated }
  }));
  if (message.assembly) {
    const generated = fingerprint(message.assembly);
    wanted.push({ source: message.assembly, metadata: { port: message.port, assembly: true, generated } });
  }
  // The list of models follows only after the transaction, so everything is planned against it first.
  const list = [...models];
  const added = new Map<number, Wanted[]>(); // position before which they go -> cells
  const updated: [ICellModel, Wanted, boolean][] = [];
  let at = runIndex(message, list) + 1;
  for (const cell of wanted) {
    const index = list.findIndex(model => isFor(model, cell.metadata));
    if (index < 0) {
      added.set(at, [...(added.get(at) ?? []), cell]);
      continue;
    }
    at = index + 1;
    const model = list[index];
    const text = model.sharedModel.getSource();
    if (text.trimEnd() === cell.source.trimEnd() || isUntouched(model)) {
      updated.push([model, cell, text.trimEnd() !== cell.source.trimEnd()]);
      continue;
    }
    const live = session.cells.get(model.id);
    if (live) {
      kept.set(live, cell.source);
    }
  }
  notebook.transact(() => {
    for (const [model, cell, differs] of updated) {
      if (differs) {
        model.sharedModel.setSource(cell.source);
      }
      setMetadata(model, cell.metadata);
    }
    for (const [position, cells] of [...added].sort((a, b) => b[0] - a[0])) {
      notebook.insertCells(position, cells.map(asCell));
    }
  });
  return { kept };
}

function asCell(cell: Wanted): SharedCell.Cell {
  return { cell_type: 'code', source: cell.source, metadata: { t2m: { ...cell.metadata }, trusted: true } };
}

/** Whether a cell already is the one for this class (or for the assembly) of this port. */
function isFor(model: ICellModel, wanted: PortMetadata): boolean {
  if (wanted.assembly) {
    const { assembly, port } = metadataOf(model);
    return Boolean(assembly) && port === wanted.port && !headOf(model);
  }
  const head = headOf(model);
  return head !== null && head.class === wanted.class && (head.port === wanted.port || head.port === '');
}

/** Where the cell is that asked for this: by its id, else the one that runs, else the last one. */
function runIndex(message: CellsMessage, models: ICellModel[]): number {
  const id = message.execution?.cell_id;
  const named = id ? models.findIndex(model => model.id === id) : -1;
  if (named >= 0) {
    return named;
  }
  const running = models.findIndex(model => model instanceof CodeCellModel && model.executionState === 'running');
  return running >= 0 ? running : models.length - 1;
}
