// The part of torch's `extra_repr` that tells layers apart at a glance, as render/words.py writes it.

const QUIET = new Set(['padding', 'eps', 'momentum', 'inplace', 'track_running_stats', 'padding_idx']);
const USUAL = new Set([
  'bias=True',
  'bias=False',
  'affine=True',
  'elementwise_affine=True',
  'dilation=1',
  'ceil_mode=False',
  "approximate='none'",
  'batch_first=True',
  'dim=-1'
]);
const BARE = new Set(['kernel_size', 'output_size', 'p', 'normalized_shape']);

/** `3, 64, kernel_size=(7, 7), stride=(2, 2)` reads `3→64 7×7 /2`; text of another form stays as it is. */
export function shortDescription(className: string, description: string): string {
  const parts = split(description.trim());
  if (!parts) {
    return description;
  }
  let positional = parts.filter(part => !part.includes('=')).map(size);
  const named = new Map(parts.filter(part => part.includes('=')).map(part => splitOnce(part)));
  const words: string[] = [];
  if (named.has('in_features') && named.has('out_features')) {
    words.push(`${named.get('in_features')}→${named.get('out_features')}`);
    named.delete('in_features');
    named.delete('out_features');
  }
  if (positional.length > 1 && /^(Conv|LSTM|GRU|RNN|Embedding)/.test(className)) {
    words.push(`${positional[0]}→${positional[1]}`);
    positional = positional.slice(2);
  }
  if (positional.length) {
    words.push(positional.join(', '));
  }
  for (const [name, raw] of named) {
    const value = size(raw);
    const steps = new Set(value.split('×'));
    if (BARE.has(name)) {
      words.push(value);
    } else if (name === 'stride') {
      if (steps.size > 1 || !steps.has('1')) {
        words.push(`/${steps.size === 1 ? [...steps][0] : value}`);
      }
    } else if (!QUIET.has(name) && !USUAL.has(`${name}=${value}`)) {
      words.push(`${name}=${value}`);
    }
  }
  return words.join(' ');
}

/** `a, b=(1, 2)` as `a` and `b=(1, 2)`; null when it is not a list of arguments. */
function split(text: string): string[] | null {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let position = 0; position <= text.length; position++) {
    const character = text[position];
    depth += '([{'.includes(character ?? ' ') ? 1 : ')]}'.includes(character ?? ' ') ? -1 : 0;
    if (depth < 0) {
      return null;
    }
    if (position === text.length || (character === ',' && depth === 0)) {
      parts.push(text.slice(start, position).trim());
      start = position + 1;
    }
  }
  const isProse = parts.some(part => part.split('=')[0].split('(')[0].includes(' '));
  return depth || isProse ? null : parts.filter(Boolean);
}

function splitOnce(part: string): [string, string] {
  const at = part.indexOf('=');
  return [part.slice(0, at), part.slice(at + 1)];
}

/** `(7, 7)` as `7×7`; anything else as it is. */
function size(value: string): string {
  const match = /^\(([-\d, ]+)\)$/.exec(value);
  return match ? match[1].split(',').map(one => one.trim()).filter(Boolean).join('×') : value;
}
