// What a node of the autograd graph opens to: its line and module, values, where its gradient goes, what torch saved.

// `facts` is undefined until Python has sent them. `goTo(node)` moves the step there, `goToFolded(node)` out of its
// modules too, `fold(path)` folds a module, and `openCell(path)` goes to its cell.
function drawNode(data, at, facts = {}, { goTo, goToFolded, fold, openCell }) {
  const parts = [], shortName = index => data.nodes[index][0].split(" = ")[0];
  const line = (name, ...content) => {
    const row = make("div", "t2m-fact");
    row.append(make("span", "t2m-dim", name));
    const value = make("span", "t2m-mono");
    value.append(...content);
    row.append(value);
    parts.push(row);
  };
  const title = make("div", "t2m-title");
  title.append(make("b", "t2m-mono", data.steps[at][0]), " ", make("span", "t2m-dim",
    [facts.operation, facts.function === facts.operation ? "" : facts.function].filter(Boolean).join(" · ")));
  parts.push(title);
  if (facts.problem) parts.push(make("div", "t2m-problem", facts.problem));
  if (facts.source || facts.where) {
    line("line", facts.source ?? "", make("span", "t2m-dim", ` ${facts.where ?? ""}`));
    parts.at(-1).title = facts.file ?? "";
  }
  if (facts.module) {
    const name = data.port ? link(facts.module, () => openCell(facts.module)) : facts.module;
    line("module", name, facts.measured || facts.operation === undefined ? "" : make("span", "t2m-dim", " (by its parameters)"),
      " ", link("fold", () => fold(facts.module)));
  }
  if (facts.outputs) line("result", facts.outputs.join(", "));
  if (facts.value) line("value", facts.value);
  if (facts.gradient) line("gradient", facts.gradient.join(" and "));
  for (const [target, name, local, amount] of facts.sends ?? []) {
    line("sends", `${amount} to `, link(name, () => goToFolded(target)), make("span", "t2m-dim", local ? `  ${local}` : ""));
  }
  if (facts.existing) line(".grad held", facts.existing);
  for (const [name, what, version, numbers, producer] of facts.saved ?? []) {
    line("saved", `${name}  `, make("span", "t2m-dim", [what, version].filter(Boolean).join(", ")),
      numbers ? `  ${numbers}` : "", ...(producer >= 0 ? ["  from ", link(shortName(producer), () => goTo(producer))] : []));
  }
  if (facts.settings) line("settings", facts.settings.join(", "));
  return parts;
}
