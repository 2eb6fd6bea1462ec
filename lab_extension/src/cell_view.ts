// A live cell as one notebook panel shows it: its badge and its marks.

import { CodeCell } from '@jupyterlab/cells';
import { CodeMirrorEditor } from '@jupyterlab/codemirror';
import { PanelLayout } from '@lumino/widgets';

import { Badge, BadgeActions } from './badge';
import { LiveCell } from './live_cell';
import { prepareEditor, showMarks } from './marks';

const prepared = new WeakSet<CodeMirrorEditor>();

export class CellView {
  constructor(
    readonly widget: CodeCell,
    readonly cell: LiveCell,
    actions: BadgeActions,
    obstacle: () => string
  ) {
    this.badge = new Badge(cell, actions, obstacle);
    widget.addClass('t2m-lab-cell');
    cell.changed.connect(this.draw, this);
    widget.disposed.connect(this.dispose, this);
    // A notebook draws only what is in sight: before that a cell has neither editor nor places for widgets.
    void widget.ready.then(() => this.attach());
  }

  draw(): void {
    this.badge.draw();
    const { editor } = this.widget;
    if (editor instanceof CodeMirrorEditor) {
      if (!prepared.has(editor)) {
        prepared.add(editor);
        prepareEditor(editor);
      }
      showMarks(editor, this.cell);
    }
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    this.isDisposed = true;
    this.cell.changed.disconnect(this.draw, this);
    if (!this.widget.isDisposed) {
      this.widget.removeClass('t2m-lab-cell');
    }
    this.badge.dispose();
  }

  private attach(): void {
    if (this.isDisposed || this.widget.isDisposed) {
      return;
    }
    const layout = this.widget.layout as PanelLayout;
    const input = layout.widgets.findIndex(child => child.hasClass('jp-Cell-inputWrapper'));
    layout.insertWidget(input + 1, this.badge);
    this.draw();
  }

  isDisposed = false;
  private readonly badge: Badge;
}
