import { LabIcon } from '@jupyterlab/ui-components';

const line = (colour: string) => `fill="none" stroke="${colour}" stroke-linecap="round" stroke-linejoin="round"`;

/** Two nodes of a tree, the lower one with the tick of what is proven. */
function picture(tree: string, tick: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g stroke-width="1.8"><rect x="3" y="3" width="8" height="6" rx="1.5" ${line(tree)}/><path d="M7 9v9h4M15 6h6" ${line(tree)}/></g><path d="M13.5 17l3 3L22 13" stroke-width="2.4" ${line(tick)}/></svg>`;
}

const GREY = 'var(--jp-inverse-layout-color3, #616161)';

export const portIcon = new LabIcon({ name: 't2m-notebook:icon', svgstr: picture(GREY, GREY) });

/** The launcher's notebook cards are pictures, which don't know the theme: colours that show on both. */
export const launcherIconUrl = `data:image/svg+xml,${encodeURIComponent(picture('#7d868f', '#00a37a'))}`;
