// What a cell's text and metadata say about the class in it.

import { ICellModel } from '@jupyterlab/cells';

import { sha256 } from './sha256';

/** What the first line names. */
export interface Head {
  class: string;
  /** The port after `--name`, else the one in the metadata, else empty: the kernel's last port. */
  port: string;
}

/** The metadata under the key `t2m`, written when a cell is inserted. */
export interface PortMetadata {
  port?: string;
  class?: string;
  assembly?: boolean;
  /** Fingerprint of the cell's text as it was generated: tells an edited cell from an untouched one. */
  generated?: string;
}

const KEY = 't2m';
const MAGIC = /^[ \t]*%%t2m_cell[ \t]+(\S+)(.*)$/;
const PORT_NAME = /(?:^|\s)--name(?:=|\s+)(?:"([^"]*)"|'([^']*)'|(\S+))/;

/** The class and port that a code cell is for; null for every other cell. */
export function headOf(model: ICellModel): Head | null {
  if (model.type !== 'code') {
    return null;
  }
  const source = model.sharedModel.getSource();
  const match = MAGIC.exec(source.split('\n', 1)[0]);
  if (!match) {
    return null;
  }
  const named = PORT_NAME.exec(match[2]);
  const port = named ? named[1] ?? named[2] ?? named[3] : metadataOf(model).port;
  return { class: match[1], port: port ?? '' };
}

/** The text below the magic line. */
export function classSource(source: string): string {
  const end = source.indexOf('\n');
  return end < 0 ? '' : source.slice(end + 1);
}

/** The line (from 1) of a second magic in the same cell, as after a merge; 0 where there is none. */
export function secondMagic(source: string): number {
  return source.split('\n').findIndex((line, index) => index > 0 && MAGIC.test(line)) + 1;
}

export function metadataOf(model: ICellModel): PortMetadata {
  const found = model.getMetadata(KEY);
  return found && typeof found === 'object' ? (found as PortMetadata) : {};
}

export function setMetadata(model: ICellModel, metadata: PortMetadata): void {
  model.setMetadata(KEY, metadata);
}

/** True while a cell still has the text that was generated. */
export function isUntouched(model: ICellModel): boolean {
  const { generated } = metadataOf(model);
  return generated !== undefined && generated === fingerprint(model.sharedModel.getSource());
}

/** SHA-256 of a text without the white space at its end: what the kernel calls `generated`. */
export function fingerprint(text: string): string {
  return sha256(new TextEncoder().encode(text.trimEnd()));
}
