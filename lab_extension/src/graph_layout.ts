// Graphviz for the page, for views whose kernel has no `dot`. It is large, so it is loaded when first used.

declare global {
  interface Window {
    /** Lays out a graph in the DOT language; gives SVG text. Rejects with graphviz's message. */
    t2mGraphLayout?: (dot: string) => Promise<string>;
  }
}

export function offerGraphLayout(): void {
  window.t2mGraphLayout = async dot => {
    const { Graphviz } = await import(/* webpackChunkName: "graphviz" */ '@hpcc-js/wasm-graphviz');
    const graphviz = await Graphviz.load();
    return graphviz.layout(dot, 'svg', 'dot');
  };
}
