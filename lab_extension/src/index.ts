// The one plugin: puts the parts together, and what the application has no place for is left out.

import { ILabShell, ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import { IEditorServices } from '@jupyterlab/codeeditor';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';

import { addToolbarButtons } from './cell_toolbar';
import { Actions, addCommands, COMMANDS } from './commands';
import { offerGraphLayout } from './graph_layout';
import { launcherIconUrl, portIcon } from './icon';
import { Notebooks } from './notebooks';
import { Settings } from './port_session';
import { SidePanel } from './side_panel';
import { StatusItem } from './status_bar';
import { TorchSource } from './torch_source';

const ID = 't2m-notebook:plugin';
const CATEGORY = 'MLX Port';

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Live parity with PyTorch beside the cells of an MLX port.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [
    ISettingRegistry,
    ICommandPalette,
    IToolbarWidgetRegistry,
    ILauncher,
    IStatusBar,
    ILayoutRestorer,
    IEditorServices,
    ILabShell
  ],
  activate
};

function activate(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  registry: ISettingRegistry | null,
  palette: ICommandPalette | null,
  toolbars: IToolbarWidgetRegistry | null,
  launcher: ILauncher | null,
  statusBar: IStatusBar | null,
  restorer: ILayoutRestorer | null,
  services: IEditorServices | null,
  labShell: ILabShell | null
): void {
  let settings: Settings = { live: true, debounce: 300, tolerance: 1 };
  const actions = new Actions();
  const notebooks = new Notebooks(tracker, actions, settings);
  actions.notebooks = notebooks;
  actions.torchSource = new TorchSource(app, notebooks, labShell, services);

  const panel = new SidePanel(notebooks);
  panel.title.icon = portIcon;
  panel.title.caption = 'MLX port: modules, parity and weights';
  app.shell.add(panel, 'right', { rank: 600, type: 'MLX Port' });
  restorer?.add(panel, panel.id);

  let stored: ISettingRegistry.ISettings | null = null;
  const apply = (loaded: ISettingRegistry.ISettings) => {
    settings = loaded.composite as unknown as Settings;
    notebooks.applySettings(settings);
    app.commands.notifyCommandChanged(COMMANDS.live);
  };
  void registry?.load(ID).then(loaded => {
    stored = loaded;
    loaded.changed.connect(apply);
    apply(loaded);
  });

  addCommands(app, actions, {
    showPanel: () => app.shell.activateById(panel.id),
    isLive: () => settings.live,
    setLive: live => {
      if (stored) {
        void stored.set('live', live);
      } else {
        settings = { ...settings, live };
        notebooks.applySettings(settings);
      }
    }
  });
  if (toolbars) {
    addToolbarButtons(toolbars, app.commands, notebooks);
  }
  // Which cell is active, and whether it is ours, decides what the palette offers.
  let last: unknown = undefined;
  notebooks.cellChanged.connect(() => {
    const cell = notebooks.current?.activeCell ?? null;
    if (cell !== last) {
      last = cell;
      Object.values(COMMANDS).forEach(id => app.commands.notifyCommandChanged(id));
    }
  });
  // A cell that was run by hand is checked, with checks while typing off too.
  NotebookActions.executed.connect((_, { cell }) => notebooks.executed(cell.model.id));

  for (const command of Object.values(COMMANDS)) {
    palette?.addItem({ command, category: CATEGORY, args: command === COMMANDS.newPort ? { isPalette: true } : {} });
  }
  launcher?.add({
    command: COMMANDS.newPort,
    category: 'Notebook',
    rank: 50,
    args: { isLauncher: true },
    kernelIconUrl: launcherIconUrl
  });
  statusBar?.registerStatusItem(`${ID}:summary`, {
    item: new StatusItem(notebooks, () => app.shell.activateById(panel.id)),
    align: 'left',
    rank: 90
  });
  // A view in an output, such as the autograd graph, asks for the cell of a module.
  document.addEventListener('t2m:open-module', event => {
    const path: unknown = (event as CustomEvent).detail?.path;
    if (typeof path === 'string') {
      panel.goToModule(path);
    }
  });
  offerGraphLayout();
}

export default plugin;
