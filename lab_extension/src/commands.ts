// What can be done with a port from the palette, the cell toolbar, the keyboard and the badges.

import { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';

import { BadgeActions } from './badge';
import { classSource } from './cell_source';
import { askAboutDifference } from './difference';
import { applyFix, replaceText } from './fixes';
import { portIcon } from './icon';
import { LiveCell } from './live_cell';
import { newPort } from './new_port';
import { NotebookView } from './notebook_view';
import { Notebooks } from './notebooks';
import { TorchSource } from './torch_source';

export const COMMANDS = {
  check: 't2m:check-now',
  checkAll: 't2m:check-all',
  reset: 't2m:reset',
  diff: 't2m:show-diff',
  torch: 't2m:show-torch-source',
  fix: 't2m:apply-fix',
  next: 't2m:next-divergence',
  newPort: 't2m:new-port',
  panel: 't2m:show-panel',
  live: 't2m:toggle-live'
};

export class Actions implements BadgeActions {
  notebooks!: Notebooks;
  torchSource!: TorchSource;

  check(cell: LiveCell): void {
    this.notebooks.viewOf(cell)?.session.check(cell, true);
  }

  apply(cell: LiveCell, fix: Parameters<BadgeActions['apply']>[1]): void {
    if (applyFix(cell, fix)) {
      this.check(cell);
    } else {
      Notification.info('The lines of this fix were edited since. Check the cell again for a new one.');
    }
  }

  async showDiff(cell: LiveCell): Promise<void> {
    const generated = await this.generated(cell);
    if (generated !== null && (await askAboutDifference(cell.head.class, generated, cell.classSource))) {
      this.write(cell, generated);
    }
  }

  async reset(cell: LiveCell): Promise<void> {
    const generated = await this.generated(cell);
    if (generated !== null) {
      this.write(cell, generated);
    }
  }

  keep(cell: LiveCell): void {
    cell.setKept(null);
  }

  /** Goes to the next cell whose check does not pass, from the active one on, and round. */
  next(): void {
    const view = this.notebooks.current;
    if (!view) {
      return;
    }
    const cells = view.session.inOrder;
    const active = view.activeCell;
    const after = active ? cells.indexOf(active) + 1 : 0;
    const isRed = (cell: LiveCell) =>
      Boolean(cell.misplaced) || (cell.result !== null && cell.result.state !== 'proven' && cell.result.state !== 'unknown');
    const found = [...cells.slice(after), ...cells.slice(0, after)].find(isRed);
    if (found) {
      void view.goTo(found);
    } else {
      Notification.info(cells.length ? 'No cell of this notebook differs from torch.' : 'This notebook has no %%t2m_cell.');
    }
  }

  private async generated(cell: LiveCell): Promise<string | null> {
    if (cell.kept !== null) {
      return classSource(cell.kept);
    }
    const session = this.notebooks.viewOf(cell)?.session;
    try {
      return session ? await session.ask('generated', cell.head.class, cell.head.port) : null;
    } catch (error) {
      Notification.warning((error as Error).message);
      return null;
    }
  }

  /** The first line stays as it is: it may name a port. */
  private write(cell: LiveCell, source: string): void {
    const [first] = cell.text.split('\n', 1);
    replaceText(cell, `${first}\n${source.trimEnd()}`);
    cell.setKept(null);
    this.check(cell);
  }
}

interface Hooks {
  showPanel(): void;
  isLive(): boolean;
  setLive(live: boolean): void;
}

export function addCommands(app: JupyterFrontEnd, actions: Actions, hooks: Hooks): void {
  const { commands } = app;
  const view = (): NotebookView | null => actions.notebooks.current;
  const active = (): LiveCell | null => view()?.activeCell ?? null;

  const forCell = (id: string, label: string, caption: string, run: (cell: LiveCell) => unknown) =>
    commands.addCommand(id, {
      label,
      caption,
      describedBy: { args: { type: 'object' } },
      isEnabled: () => active() !== null,
      execute: () => {
        const cell = active();
        return cell ? run(cell) : undefined;
      }
    });

  forCell(COMMANDS.check, 'Check MLX Cell Now', 'Compare this class with torch now', cell => actions.check(cell));
  forCell(COMMANDS.reset, 'Reset MLX Cell to Generated', 'Replace this class by what was generated', cell =>
    actions.reset(cell)
  );
  forCell(COMMANDS.diff, 'Show Diff to Generated', 'Compare this class with what was generated', cell =>
    actions.showDiff(cell)
  );
  forCell(COMMANDS.torch, 'Show torch Source Beside', 'The torch class that this cell was ported from', async cell => {
    const shown = view();
    try {
      if (shown) {
        await actions.torchSource.show(shown, cell);
      }
    } catch (error) {
      Notification.warning((error as Error).message);
    }
  });
  forCell(COMMANDS.fix, 'Apply Fix to MLX Cell', 'Apply the first fix that the check of this cell proposes', cell => {
    const fix = cell.result?.fixes?.[0];
    if (fix) {
      actions.apply(cell, fix);
    }
  });
  commands.addCommand(COMMANDS.next, {
    label: 'Go to Next MLX Divergence',
    caption: 'The next cell that differs from torch',
    describedBy: { args: { type: 'object' } },
    isEnabled: () => Boolean(view()?.session.cells.size),
    execute: () => actions.next()
  });
  commands.addCommand(COMMANDS.checkAll, {
    label: 'Check All MLX Cells',
    describedBy: { args: { type: 'object' } },
    isEnabled: () => Boolean(view()?.session.cells.size),
    execute: () => view()?.session.checkAll(true)
  });
  commands.addCommand(COMMANDS.panel, {
    label: 'Show MLX Port Panel',
    describedBy: { args: { type: 'object' } },
    execute: () => hooks.showPanel()
  });
  commands.addCommand(COMMANDS.live, {
    label: 'Check MLX Cells While Typing',
    describedBy: { args: { type: 'object' } },
    isToggled: () => hooks.isLive(),
    execute: () => hooks.setLive(!hooks.isLive())
  });
  commands.addCommand(COMMANDS.newPort, {
    label: args => (args.isLauncher ? 'New MLX port' : 'New MLX Port'),
    caption: 'A notebook that ports a torch model to MLX',
    icon: args => (args.isPalette ? undefined : portIcon),
    describedBy: {
      args: {
        type: 'object',
        properties: { cwd: { type: 'string' }, isLauncher: { type: 'boolean' }, isPalette: { type: 'boolean' } }
      }
    },
    execute: args => newPort(app, (args.cwd as string) ?? '')
  });
}
