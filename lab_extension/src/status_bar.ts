// The summary of the port in front, in the status bar.

import { Widget } from '@lumino/widgets';

import { element } from './dom';
import { Notebooks } from './notebooks';
import { GLYPHS } from './status';
import { Status } from './messages';

export class StatusItem extends Widget {
  constructor(
    private readonly notebooks: Notebooks,
    open: () => void
  ) {
    super({ node: element('button', 't2m-lab-status-item') });
    this.node.addEventListener('click', open);
    notebooks.changed.connect(this.refresh, this);
    this.refresh();
  }

  private refresh(): void {
    const state = this.notebooks.current?.session.state;
    this.setHidden(!state);
    if (!state) {
      return;
    }
    const [proven] = state.summary.split('/');
    const status: Status = state.first_red ? 'DIVERGES' : proven !== '0' ? 'PROVEN' : 'MAPPED';
    this.node.replaceChildren(
      element('span', `t2m-lab-glyph t2m-lab-${status}`, GLYPHS[status]),
      element('span', '', state.summary)
    );
    this.node.title = state.first_red
      ? `${state.port}: ${state.first_red.path || 'the root'} differs from torch. Open the panel.`
      : `${state.port}: modules measured equal to torch. Open the panel.`;
    this.node.setAttribute('aria-label', `MLX port ${state.port}: ${state.summary}`);
  }
}
