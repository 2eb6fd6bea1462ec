// Elements without a template language. Text is always set as text, never as HTML.

type Child = Node | string | null | undefined | false;

/** An element with classes (separated by spaces) and children; empty children are left out. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  classes = '',
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (classes) {
    made.className = classes;
  }
  for (const child of children) {
    if (child) {
      made.append(child);
    }
  }
  return made;
}

/** A button that says what it does and does it. */
export function button(label: string, title: string, run: () => void, classes = 't2m-lab-button'): HTMLButtonElement {
  const made = element('button', classes, label);
  made.type = 'button';
  made.title = title;
  made.addEventListener('click', event => {
    event.stopPropagation();
    run();
  });
  return made;
}

/** Text in which `code` stands between backticks. */
export function prose(text: string): (Node | string)[] {
  return text.split('`').map((part, index, all) => (index % 2 && index < all.length - 1 ? element('code', '', part) : part));
}
