// What differs from JupyterLab's own build: no source maps, and no path of the machine that built it.
module.exports = {
  devtool: false,
  output: { devtoolNamespace: 't2m-notebook' },
  optimization: { moduleIds: 'deterministic', chunkIds: 'deterministic' }
};
