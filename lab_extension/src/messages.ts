// The JSON that travels between the kernel's session and this extension. Unknown types and keys are
// ignored on both sides. Lines count from 1 in the class source, which starts below the magic line.

export const TARGET = 't2m_notebook';
export const VERSION = 1;

export type Status = 'PROVEN' | 'MAPPED' | 'PARTIAL' | 'DIVERGES' | 'REFUSED' | 'MISSING' | 'UNSEEN';

export interface Mark {
  line: number;
  end_line: number;
  column: number;
  end_column: number;
  severity: 'error' | 'warning' | 'info';
  message: string;
}

/** Whole lines of the class source, `line` to `end_line`, that `after` would replace. */
export interface Fix {
  kind: string;
  message: string;
  line: number;
  end_line: number;
  before: string;
  after: string;
  difference: number | null;
}

export interface WeightRow {
  torch_name: string;
  torch_shape: number[];
  mlx_name: string;
  mlx_shape: number[];
  axes: number[];
  dtype: string;
  state: 'matched' | 'missing' | 'extra' | 'shape';
}

export type CheckState = 'proven' | 'diverges' | 'error' | 'stopped' | 'unknown';

export interface CheckResult {
  type: 'result';
  cell: string;
  seq: number;
  port: string;
  class: string;
  state: CheckState;
  glyph?: string;
  text?: string;
  difference?: number | null;
  allowed?: number | null;
  instances?: number;
  compared?: number;
  milliseconds?: number;
  message?: string;
  line?: number | null;
  marks?: Mark[];
  fixes?: Fix[];
  weights?: WeightRow[];
}

export interface TensorFacts {
  shape: number[];
  dtype: string;
}

/** A `t2m.checkpoint` in the cell of a module's class; what it saw there, once measured. */
export interface CheckpointMark {
  name: string;
  tensor?: string;
  span?: string;
  bad?: string;
}

/** A module as `AnalysisReport.root` has it; only what is shown here. */
export interface ModuleNode {
  name: string;
  path: string;
  class_name: string;
  status: Status;
  reason?: string;
  description?: string;
  outputs?: TensorFacts[];
  children?: ModuleNode[];
  shared_with?: string | null;
  max_difference?: number | null;
  checkpoints?: CheckpointMark[];
}

export interface Rung {
  rung: string;
  status: Status | '';
  text: string;
}

export interface ClassFacts {
  paths: string[];
  status: Status;
  edited: boolean;
}

export interface PortState {
  type: 'state';
  port: string;
  tree: ModuleNode | null;
  counts: Partial<Record<Status, number>>;
  summary: string;
  ladder: Rung[];
  weights: WeightRow[];
  classes: Record<string, ClassFacts>;
  first_red: { path: string; class: string } | null;
  stale: string[];
}

export interface GeneratedCell {
  class: string;
  source: string;
  generated: string;
}

export interface CellsMessage {
  type: 'cells';
  port: string;
  execution?: { cell_id?: string };
  cells: GeneratedCell[];
  assembly: string;
}

export type FromKernel =
  | { type: 'hello'; version: number; ports?: string[]; last?: string }
  | { type: 'checking'; cell: string; seq: number }
  | { type: 'torch_source' | 'generated'; request: string; text: string }
  | { type: 'worker'; event: string; text: string }
  | CellsMessage
  | CheckResult
  | PortState;

export type ToKernel =
  | { type: 'hello'; version: number }
  | { type: 'check'; cell: string; seq: number; port: string; class: string; source: string; force: boolean }
  | { type: 'forget'; cell: string }
  | { type: 'torch_source' | 'generated'; port: string; class: string; request: string }
  | { type: 'settings'; tolerance: number | null; live: boolean }
  | { type: 'kept'; port: string; classes: string[] };
