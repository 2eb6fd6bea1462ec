// The parity ladder: what was compared, from single weights up to training steps.

import { element } from './dom';
import { Rung } from './messages';
import { glyph, MEANINGS } from './status';

export function drawLadder(rungs: Rung[]): HTMLElement {
  const list = element('ol', 't2m-lab-ladder');
  list.setAttribute('aria-label', 'parity ladder');
  for (const rung of rungs) {
    const status = rung.status || 'UNSEEN';
    const item = element(
      'li',
      `t2m-lab-rung t2m-lab-edge-${status}`,
      element('span', 't2m-lab-rung-name', status === 'UNSEEN' ? null : glyph(status), rung.rung),
      element('small', '', rung.text)
    );
    item.title = `${rung.rung}: ${status === 'UNSEEN' ? 'not measured' : MEANINGS[status]}${rung.text ? ` · ${rung.text}` : ''}`;
    item.dataset.status = status;
    list.append(item);
  }
  return list;
}
