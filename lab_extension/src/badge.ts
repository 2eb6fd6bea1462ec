// The line below a cell: how its class compares with torch, what happened, and what can be done about it.

import { Widget } from '@lumino/widgets';

import { button, element, prose } from './dom';
import { LiveCell } from './live_cell';
import { CheckResult, CheckState, Fix } from './messages';
import { differenceText, glyph, plural, statusOf } from './status';

/** What the buttons of a badge do. */
export interface BadgeActions {
  apply(cell: LiveCell, fix: Fix): void;
  check(cell: LiveCell): void;
  showDiff(cell: LiveCell): void;
  reset(cell: LiveCell): void;
  keep(cell: LiveCell): void;
}

const FIXES_SHOWN = 3;

export class Badge extends Widget {
  constructor(
    private readonly cell: LiveCell,
    private readonly actions: BadgeActions,
    private readonly obstacle: () => string
  ) {
    super();
    this.addClass('t2m-lab-badge');
    // Announced when an answer is there, not at every key.
    this.node.setAttribute('role', 'status');
    this.node.setAttribute('aria-live', 'polite');
    this.node.setAttribute('aria-atomic', 'true');
    this.draw();
  }

  draw(): void {
    const { cell } = this;
    const busy = cell.phase === 'checking' || cell.phase === 'typing';
    const lines = this.lines();
    this.node.setAttribute('aria-busy', String(busy));
    this.node.dataset.phase = cell.phase;
    this.node.dataset.sequence = String(cell.sequence);
    this.node.replaceChildren(...lines);
  }

  private lines(): HTMLElement[] {
    const { cell } = this;
    const lines = [];
    const obstacle = this.obstacle();
    const old = cell.stale || cell.phase === 'edited';
    this.node.classList.toggle('t2m-lab-old', old || cell.phase === 'typing' || cell.phase === 'checking');
    if (cell.misplaced) {
      lines.push(this.simple('error', 'can’t be read', cell.misplaced));
    } else if (obstacle) {
      lines.push(this.simple('unknown', obstacle, ''));
    } else if (cell.result) {
      lines.push(...this.answer(cell.result));
    } else if (cell.phase === 'checking' || cell.phase === 'typing') {
      lines.push(this.simple('unknown', 'checking…', ''));
    } else {
      lines.push(this.simple('unknown', 'no port yet: run %t2m_port model x', ''));
    }
    if (cell.kept !== null) {
      lines.push(this.keptLine());
    }
    return lines;
  }

  private simple(state: CheckState, head: string, message: string): HTMLElement {
    this.setState(state);
    return element(
      'div',
      't2m-lab-line',
      glyph(statusOf(state)),
      element(
        'div',
        't2m-lab-words',
        element('b', 't2m-lab-head', head),
        message && element('span', 't2m-lab-message', ...prose(message))
      )
    );
  }

  private answer(result: CheckResult): HTMLElement[] {
    const { cell } = this;
    this.setState(result.state);
    const status = statusOf(result.state);
    const line = element('div', 't2m-lab-words');
    line.append(element('b', 't2m-lab-head', verdict(result)));
    const said = result.message ?? '';
    const text = result.text ?? '';
    // Without a measurement the text is the message cut short.
    if (text && !said.startsWith(text.replace(/…$/, ''))) {
      const measured = element('span', 't2m-lab-measured', text);
      measured.title = 'the largest difference from torch over all instances, and what is allowed';
      line.append(element('span', 't2m-lab-text', isMeasured(result) && 'max|Δ| ', measured));
    }
    const fixes = (result.fixes ?? []).slice(0, FIXES_SHOWN);
    line.append(element('span', 't2m-lab-space'), this.facts(result));
    if (cell.phase === 'edited' || cell.stale) {
      line.append(button('Check now', 'Check this cell (Alt+Shift+C)', () => this.actions.check(cell)));
    }
    const more = said ? [element('div', 't2m-lab-line t2m-lab-more', element('span', 't2m-lab-message', ...prose(said)))] : [];
    const first = element('div', 't2m-lab-line', glyph(status, result.glyph || undefined), line);
    return [first, ...more, ...fixes.map(fix => this.fixLine(fix))];
  }

  /** `checking…`, `stale`, else how many instances in how many milliseconds. */
  private facts(result: CheckResult): HTMLElement {
    const { phase, stale } = this.cell;
    if (phase === 'typing' || phase === 'checking') {
      return element('span', 't2m-lab-facts', 'checking…');
    }
    if (phase === 'edited') {
      return element('span', 't2m-lab-facts', 'stale: edited since this check');
    }
    if (stale) {
      return element('span', 't2m-lab-facts', 'stale: a class that it uses was edited');
    }
    const parts = [];
    const rows = result.weights ?? [];
    if (rows.length) {
      const matched = rows.filter(row => row.state === 'matched').length;
      parts.push(`${matched} of ${plural(rows.length, 'parameter')} matched`);
    }
    if (result.instances) {
      const some = result.compared !== undefined && result.compared < result.instances;
      parts.push(some ? `${result.compared} of ${plural(result.instances, 'instance')}` : plural(result.instances, 'instance'));
    }
    if (result.milliseconds !== undefined) {
      parts.push(`${result.milliseconds < 9.95 ? result.milliseconds.toFixed(1) : result.milliseconds.toFixed(0)} ms`);
    }
    return element('span', 't2m-lab-facts', parts.join(' · '));
  }

  private fixLine(fix: Fix): HTMLElement {
    const change = element(
      'div',
      't2m-lab-change',
      element('del', '', fix.before.trim()),
      element('span', 't2m-lab-dim', '→'),
      element('ins', '', fix.after.trim() || '(line removed)')
    );
    const measured = fix.difference === null || fix.difference === undefined ? '' : ` · max|Δ| ${differenceText(fix.difference)} with it`;
    const said = element('span', 't2m-lab-message', element('b', '', fix.kind ? `${fix.kind}: ` : ''), ...prose(fix.message), measured);
    const apply = button('Apply fix', `Replace in the cell (Alt+Shift+F)\n− ${fix.before}\n+ ${fix.after}`, () =>
      this.actions.apply(this.cell, fix)
    );
    apply.classList.add('t2m-lab-apply');
    return element(
      'div',
      't2m-lab-fix',
      element('div', 't2m-lab-line t2m-lab-more', said, element('span', 't2m-lab-space'), apply),
      change
    );
  }

  private keptLine(): HTMLElement {
    const { cell, actions } = this;
    return element(
      'div',
      't2m-lab-line t2m-lab-kept',
      element('span', 't2m-lab-message', 'The port was written anew; your edit was left as it is.'),
      element('span', 't2m-lab-space'),
      button('Show diff', 'Compare with what was generated', () => actions.showDiff(cell)),
      button('Reset', 'Replace this cell by what was generated', () => actions.reset(cell)),
      button('Keep mine', 'Put this note away', () => actions.keep(cell))
    );
  }

  private setState(state: CheckState): void {
    this.node.dataset.state = state;
    this.node.dataset.status = statusOf(state);
  }
}

function isMeasured(result: CheckResult): boolean {
  return result.difference !== null && result.difference !== undefined && !result.text?.includes('max|');
}

/** What the check came to, in a few words. Lines count from the magic line, as the editor numbers them. */
function verdict(result: CheckResult): string {
  const line = result.line ? ` at line ${result.line + 1}` : '';
  switch (result.state) {
    case 'proven':
      return 'equal to torch';
    case 'diverges':
      return line ? `parts${line}` : 'differs from torch';
    case 'error':
      return `error${line}`;
    case 'stopped':
      return `stopped${line}`;
    default:
      return 'not compared';
  }
}
