// The buttons of a cell's own toolbar. Each knows its cell; on cells that are not ours it hides.

import { IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import { Cell } from '@jupyterlab/cells';
import { Notebook } from '@jupyterlab/notebook';
import { checkIcon, historyIcon, LabIcon, redoIcon, ToolbarButton, undoIcon } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';

import { headOf } from './cell_source';
import { COMMANDS } from './commands';
import { portIcon } from './icon';
import { Notebooks } from './notebooks';

/** Name in the settings -> command, icon, what it does. */
const BUTTONS: Record<string, [string, LabIcon, string]> = {
  't2m-check-now': [COMMANDS.check, checkIcon, 'Check this MLX class now'],
  't2m-torch-source': [COMMANDS.torch, portIcon, 'Show its torch source beside'],
  't2m-show-diff': [COMMANDS.diff, historyIcon, 'Show the diff to what was generated'],
  't2m-reset': [COMMANDS.reset, undoIcon, 'Reset to what was generated'],
  't2m-next-divergence': [COMMANDS.next, redoIcon, 'Go to the next cell that differs']
};

export function addToolbarButtons(registry: IToolbarWidgetRegistry, commands: CommandRegistry, notebooks: Notebooks): void {
  for (const [name, [command, icon, words]] of Object.entries(BUTTONS)) {
    registry.addFactory<Cell>('Cell', name, cell => {
      const keys = commands.keyBindings.find(binding => binding.command === command)?.keys.join(' ');
      const made = new ToolbarButton({
        icon,
        tooltip: keys ? `${words} (${CommandRegistry.formatKeystroke(keys)})` : words,
        onClick: () => {
          activate(cell);
          void commands.execute(command);
        }
      });
      made.addClass('t2m-lab-tool');
      const show = () => {
        if (!made.isDisposed && !cell.isDisposed) {
          made.setHidden(headOf(cell.model) === null);
        }
      };
      notebooks.cellChanged.connect(show);
      made.disposed.connect(() => notebooks.cellChanged.disconnect(show));
      show();
      return made;
    });
  }
}

/** A command is about the active cell. */
function activate(cell: Cell): void {
  let parent: Widget | null = cell.parent;
  while (parent && !(parent instanceof Notebook)) {
    parent = parent.parent;
  }
  if (parent) {
    parent.activeCellIndex = parent.widgets.indexOf(cell);
  }
}
