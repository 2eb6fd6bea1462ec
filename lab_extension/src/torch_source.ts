// The torch class that a cell was ported from, read-only, beside the notebook.

import { ILabShell, JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, MainAreaWidget, showDialog } from '@jupyterlab/apputils';
import { CodeEditor, CodeEditorWrapper, IEditorServices } from '@jupyterlab/codeeditor';
import { BoxLayout, Widget } from '@lumino/widgets';

import { element } from './dom';
import { portIcon } from './icon';
import { LiveCell } from './live_cell';
import { NotebookView } from './notebook_view';
import { Notebooks } from './notebooks';

export class TorchSource {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly notebooks: Notebooks,
    private readonly shell: ILabShell | null,
    private readonly services: IEditorServices | null
  ) {
    notebooks.cellChanged.connect(() => this.follow());
  }

  /** Shows the torch class of a cell: beside its notebook in JupyterLab, in a dialog in Notebook 7. */
  async show(view: NotebookView, cell: LiveCell): Promise<void> {
    const text = await view.session.ask('torch_source', cell.head.class, cell.head.port);
    const code = this.editor(text);
    const title = `torch: ${cell.head.class}`;
    if (!this.shell) {
      code.addClass('t2m-lab-dialog-code');
      await showDialog({ title, body: code, buttons: [Dialog.okButton({ label: 'Close' })] });
      return;
    }
    this.shown = this.keyOf(cell);
    if (this.panel && !this.panel.isDisposed) {
      this.fill(this.panel.content, code);
      this.panel.title.label = title;
      this.app.shell.activateById(this.panel.id);
      return;
    }
    const content = new Widget();
    content.layout = new BoxLayout({ spacing: 0 });
    this.fill(content, code);
    this.panel = new MainAreaWidget({ content });
    this.panel.id = 't2m-notebook-torch-source';
    this.panel.title.label = title;
    this.panel.title.caption = 'The torch class that the active cell was ported from';
    this.panel.title.closable = true;
    this.panel.title.icon = portIcon;
    this.app.shell.add(this.panel, 'main', { mode: 'split-right', ref: view.panel.id, activate: false });
  }

  /** While it is open, it shows the class of the cell that is active. */
  private follow(): void {
    const view = this.notebooks.current;
    const cell = view?.activeCell;
    if (!this.panel || this.panel.isDisposed || !view || !cell || this.keyOf(cell) === this.shown) {
      return;
    }
    this.shown = this.keyOf(cell);
    const panel = this.panel;
    view.session.ask('torch_source', cell.head.class, cell.head.port).then(
      text => {
        if (!panel.isDisposed && this.shown === this.keyOf(cell)) {
          this.fill(panel.content, this.editor(text));
          panel.title.label = `torch: ${cell.head.class}`;
        }
      },
      () => (this.shown = '') // no kernel just now: what was shown stays
    );
  }

  private fill(content: Widget, code: Widget): void {
    const layout = content.layout as BoxLayout;
    layout.widgets.slice().forEach(widget => widget.dispose());
    layout.addWidget(code);
  }

  private editor(text: string): Widget {
    if (!this.services) {
      return new Widget({ node: element('pre', 't2m-lab-code', text) });
    }
    const model = new CodeEditor.Model({ mimeType: 'text/x-ipython' });
    model.sharedModel.setSource(text);
    const code = new CodeEditorWrapper({
      model,
      factory: this.services.factoryService.newDocumentEditor,
      editorOptions: { config: { readOnly: true, lineNumbers: true, codeFolding: false } }
    });
    code.addClass('t2m-lab-code');
    return code;
  }

  private keyOf(cell: LiveCell): string {
    return `${cell.id} ${cell.head.class} ${cell.head.port}`;
  }

  private panel: MainAreaWidget<Widget> | null = null;
  private shown = '';
}
