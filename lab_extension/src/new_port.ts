// The launcher's "New MLX port": a notebook that ports a small model, to be run or changed. Nothing runs by itself.

import { JupyterFrontEnd } from '@jupyterlab/application';
import * as nbformat from '@jupyterlab/nbformat';

const MARKDOWN = 'markdown';
const CODE = 'code';

const CELLS: [string, string][] = [
  [
    MARKDOWN,
    `# New MLX port

Run the cells from the top. Each MLX class gets a cell of its own below \`%t2m_port\`; edit one, and the line under it says
at once whether it still equals torch.`
  ],
  [CODE, '%load_ext t2m_notebook'],
  [MARKDOWN, 'The model and one example input. Put your own here; weights are converted as they are.'],
  [
    CODE,
    `import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean(dim=(2, 3)))


model = Net().eval()
x = torch.randn(1, 3, 32, 32)`
  ],
  [MARKDOWN, 'What can be ported, and what stands in the way:'],
  [CODE, '%t2m_analyze model x'],
  [
    MARKDOWN,
    `Port it. The panel on the right (Alt+Shift+P) shows the modules, the parity ladder and the weights; \`%t2m_port --help\`
lists the options.`
  ],
  [CODE, 'p = %t2m_port model x']
];

/** Makes the notebook in `folder`, opens it, and gives its path. */
export async function newPort(app: JupyterFrontEnd, folder: string): Promise<string> {
  const { contents, kernelspecs } = app.serviceManager;
  await kernelspecs.ready;
  const specs = kernelspecs.specs;
  const all = Object.values(specs?.kernelspecs ?? {}).filter(spec => spec !== undefined);
  const isPython = (language?: string) => (language ?? '').toLowerCase() === 'python';
  const spec = all.find(one => one.name === specs?.default && isPython(one.language)) ?? all.find(one => isPython(one.language));
  const made = await contents.newUntitled({ path: folder, type: 'notebook' });
  const metadata = spec
    ? { kernelspec: { name: spec.name, display_name: spec.display_name, language: 'python' }, language_info: { name: 'python' } }
    : {};
  const content = {
    nbformat: 4,
    nbformat_minor: 5,
    metadata,
    cells: CELLS.map(([type, source], index) => cell(type, source, index))
  };
  await contents.save(made.path, { type: 'notebook', format: 'json', content: content as nbformat.INotebookContent });
  await app.commands.execute('docmanager:open', {
    path: made.path,
    factory: 'Notebook',
    kernel: spec ? { name: spec.name } : undefined
  });
  return made.path;
}

function cell(type: string, source: string, index: number): unknown {
  const common = { id: `new-port-${index}`, cell_type: type, metadata: {}, source };
  return type === CODE ? { ...common, execution_count: null, outputs: [] } : common;
}
