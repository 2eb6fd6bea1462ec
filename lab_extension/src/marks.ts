// Gutter marks and underlines in our cells. The linter is a copy of our own, so it never meets another extension's.

import { Diagnostic, lintGutter, setDiagnostics } from '@codemirror/lint';
import { EditorView } from '@codemirror/view';
import { CodeMirrorEditor } from '@jupyterlab/codemirror';

import { LiveCell } from './live_cell';
import { CheckResult, Mark } from './messages';

/** Prepares an editor to show marks; once per editor. */
export function prepareEditor(editor: CodeMirrorEditor): void {
  editor.injectExtension([lintGutter({ hoverTime: 150 }), EditorView.editorAttributes.of({ class: 't2m-lab-editor' })]);
}

/** Shows the marks of a cell's last answer, or none. */
export function showMarks(editor: CodeMirrorEditor, cell: LiveCell): void {
  const view = editor.editor;
  // While a check runs, the marks of the text before it move along with the text.
  if (cell.phase === 'typing' || cell.phase === 'checking') {
    return;
  }
  const found = cell.result && cell.phase === 'answered' && !cell.misplaced ? diagnostics(view, cell.result) : [];
  view.dispatch(setDiagnostics(view.state, found));
}

function diagnostics(view: EditorView, result: CheckResult): Diagnostic[] {
  const marks = [...(result.marks ?? [])];
  if (!marks.length && result.line && result.state !== 'proven') {
    const message = result.message || result.text || 'differs from torch';
    marks.push({ line: result.line, end_line: result.line, column: 0, end_column: 0, severity: 'error', message });
  }
  return marks.map(mark => diagnostic(view, mark)).filter(found => found !== null) as Diagnostic[];
}

function diagnostic(view: EditorView, mark: Mark): Diagnostic | null {
  const doc = view.state.doc;
  const first = mark.line + 1; // the magic line is above
  const last = Math.min(Math.max(mark.end_line, mark.line) + 1, doc.lines);
  if (first < 2 || first > doc.lines) {
    return null;
  }
  const start = doc.line(first);
  const end = doc.line(last);
  const indent = start.text.length - start.text.trimStart().length;
  let from = start.from + Math.min(Math.max(mark.column, indent), start.length);
  let to = mark.end_column > 0 ? Math.min(end.from + mark.end_column, end.to) : end.from + end.text.trimEnd().length;
  if (to <= from) {
    from = Math.min(start.from + indent, start.to);
    to = end.to;
  }
  return { from, to, severity: mark.severity, message: mark.message };
}
