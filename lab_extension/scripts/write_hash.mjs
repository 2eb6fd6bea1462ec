// Writes what the built folder was built from; tests/test_lab_extension.py computes the same without Node.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDERS = ['schema', 'scripts', 'src', 'style'];
const FILES = ['package-lock.json', 'package.json', 'tsconfig.json', 'webpack.config.js'];

const root = fileURLToPath(new URL('..', import.meta.url));
const shown = folder => readdirSync(join(root, folder)).filter(name => !name.startsWith('.'));
const paths = FOLDERS.flatMap(folder => shown(folder).map(name => `${folder}/${name}`));
const hash = createHash('sha256');
for (const path of [...paths, ...FILES].sort()) {
  // Line ends differ between checkouts on Windows and elsewhere.
  const text = readFileSync(join(root, path), 'utf8').replaceAll('\r\n', '\n');
  hash.update(`${path}\0${text}\0`);
}
writeFileSync(join(root, '../t2m_notebook/labextension/sources.sha256'), `${hash.digest('hex')}\n`);
