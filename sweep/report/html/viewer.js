// The viewer of questions. Outputs are data: they reach the page as text nodes only.
"use strict";

const FIRST = 100; // Rows that are listed at once.
const MOST_CELLS = 4e6; // Of the table that compares two texts; longer ones count as different throughout.
const KINDS = [
  ["all", "all", () => true],
  ["flips", "flips", (cell) => flips(cell)],
  ["wrong", "wrong", (cell) => has(cell, "wrong")],
  ["invalid", "invalid", (cell) => has(cell, "invalid")],
  ["truncated", "truncated", (cell) => cell.truncated.includes("1")],
];
const SIGNS = { right: "✓", wrong: "✗", invalid: "∅" };
const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a string becomes a text node. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

async function read() {
  const packed = Uint8Array.from(atob(byId("data").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// A cell: what one variant's repetitions made of one question.
// A value is neither: `right` has the best repetitions of the question.
const outcome = (cell, r) => (cell.value && cell.invalid[r] !== "1" ? "valued" : cell.right[r] === "1" ? "right" : cell.invalid[r] === "1" ? "invalid" : "wrong");
const sign = (cell, r) => (cell.value ? String(cell.value[r]) : SIGNS[outcome(cell, r)]);
const said = (cell, r) => (cell.value ? String(cell.value[r]) : outcome(cell, r));
const outcomes = (cell) => [...cell.right].map((_, r) => outcome(cell, r));
const has = (cell, wanted) => outcomes(cell).includes(wanted);
const count = (digits) => digits.split("1").length - 1;
const mean = (values) => (values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(3);
const flips = (cell) => cell.right.includes("0") && cell.right.includes("1");
const doubt = (cell) => Math.min(count(cell.right), cell.right.length - count(cell.right));

function start(data) {
  const state = { variant: "", kind: "flips", search: "", shown: FIRST, question: null, left: null, right: null };
  const { variants, questions } = data;
  const chosen = () => variants.map((_, v) => v).filter((v) => state.variant === "" || +state.variant === v);
  const label = (v, r) => `${variants[v].name} r${String(variants[v].repetitions[r]).padStart(2, "0")}`;

  function searched() {
    const wanted = state.search.toLowerCase();
    const found = (text) => text !== null && text.toLowerCase().includes(wanted);
    const texts = (q) => [q.id, q.question, q.gold, ...q.answers, ...q.outputs];
    return wanted ? questions.filter((q) => texts(q).some(found)) : questions;
  }

  function list() {
    const doubts = new Map(questions.map((q) => [q, chosen().reduce((sum, v) => sum + doubt(q.cells[v]), 0)]));
    const matching = searched();
    let found = [];
    for (const [kind, , test] of KINDS) {
      const those = matching.filter((q) => chosen().some((v) => test(q.cells[v])));
      byId(`count-${kind}`).textContent = those.length;
      if (kind === state.kind) found = those.sort((a, b) => doubts.get(b) - doubts.get(a));
    }
    const rows = found.slice(0, state.shown);
    byId("count").textContent =
      found.length > rows.length
        ? `The first ${rows.length} of ${found.length} questions are listed.`
        : `${found.length} of ${questions.length} questions are listed.`;
    const heads = chosen().map((v) => element("th", { scope: "col" }, variants[v].name));
    const table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "question"), ...heads)),
      element("tbody", {}, ...rows.map(row)),
    );
    const more = () => {
      state.shown += FIRST;
      list();
    };
    const rest = found.length > rows.length ? [element("button", { id: "more", onclick: more }, "List more")] : [];
    byId("list").replaceChildren(table, ...rest);
    if (!found.includes(state.question)) select(found[0] ?? null);
    else current();
  }

  function row(q) {
    const cells = chosen().map((v) => {
      const cell = q.cells[v];
      const notes = [
        [count(cell.invalid), "invalid"],
        [count(cell.truncated), "truncated"],
      ].filter(([n]) => n);
      return element(
        "td",
        { class: flips(cell) ? "flips" : undefined },
        cell.value ? mean(cell.value) : `${count(cell.right)}/${cell.right.length}`,
        ...notes.map(([n, what]) => element("small", {}, `${n} ${what}`)),
      );
    });
    const name = element("button", { "data-question": q.id, tabindex: -1, onfocus: () => select(q) }, q.id);
    const made = element("tr", { onclick: () => name.focus({ preventScroll: true }) });
    made.append(element("th", { scope: "row" }, name, q.question), ...cells);
    return made;
  }

  function current() {
    for (const button of byId("list").querySelectorAll("[data-question]")) {
      const here = state.question !== null && button.dataset.question === state.question.id;
      button.tabIndex = here ? 0 : -1;
      const line = button.closest("tr");
      if (here) line.setAttribute("aria-current", "true");
      else line.removeAttribute("aria-current");
    }
  }

  /** Show a question, with a right and another output of one variant beside one another where there are such. */
  function select(q) {
    if (q !== null && q === state.question) return;
    state.question = q;
    current();
    if (q === null) {
      byId("detail").replaceChildren(element("p", {}, "No question matches."));
      return;
    }
    const v = chosen().find((v) => flips(q.cells[v])) ?? chosen()[0];
    const { right, output } = q.cells[v];
    const other = flips(q.cells[v])
      ? [right.indexOf("1"), right.indexOf("0")]
      : [0, Math.max(0, output.findIndex((text) => text !== output[0]))];
    state.left = [v, other[0]];
    state.right = [v, other[1]];
    if (variants[v].repetitions.length === 1 && variants.length > 1) state.right = [(v + 1) % variants.length, 0];
    detail();
  }

  function detail() {
    const q = state.question;
    byId("detail").replaceChildren(
      element("h3", {}, q.id),
      element("p", { class: "question", dir: "auto" }, q.question),
      q.gold === null
        ? element("p", {}, "The right answer is not known.")
        : element("p", {}, "The right answer is ", element("strong", { dir: "auto" }, q.gold), "."),
      grid(q),
      element("p", { class: "hint" }, (q.cells.some((cell) => cell.value)
        ? "The value of each repetition's answer, double line: cut at max tokens. "
        : "✓ right, ✗ wrong, ∅ no answer (invalid), double line: cut at max tokens. ") +
        "Click a repetition for the right side, or with Shift for the left one; the arrow keys and Enter do the same."),
      sides(q),
    );
  }

  function grid(q) {
    const most = Math.max(...variants.map(({ repetitions }) => repetitions.length));
    const rows = variants.map(({ name }, v) => {
      const cell = q.cells[v];
      const buttons = outcomes(cell).map((result, r) => {
        const side = same(state.left, [v, r]) ? "left" : same(state.right, [v, r]) ? "right" : undefined;
        const cut = cell.truncated[r] === "1";
        const what = `${label(v, r)}: ${said(cell, r)}${cut ? ", truncated" : ""}, answer ${answer(q, v, r)}`;
        const choose = (event) => {
          state[event.shiftKey ? "left" : "right"] = [v, r];
          detail();
          byId("detail").querySelector(`[data-cell="${v},${r}"]`).focus({ preventScroll: true });
        };
        const made = element(
          "button",
          { class: cut ? `${result} truncated` : result, "aria-label": side ? `${what}, on the ${side}` : what },
          sign(cell, r),
        );
        made.title = what;
        made.dataset.cell = `${v},${r}`;
        made.tabIndex = same(state.right, [v, r]) ? 0 : -1;
        if (side) made.dataset.side = side;
        made.addEventListener("click", choose);
        return element("td", {}, made);
      });
      const distinct = new Set(cell.output).size;
      const outputs = `${distinct} ${distinct === 1 ? "output" : "different outputs"}`;
      const note = element("td", {}, cell.output.includes(-1) ? "outputs not known" : outputs);
      const lacking = Array.from({ length: most - buttons.length }, () => element("td"));
      return element("tr", {}, element("th", { scope: "row" }, name), ...buttons, ...lacking, note);
    });
    const table = element("table", { class: "cells" }, element("tbody", {}, ...rows));
    return element("div", { class: "wide", onkeydown: arrows }, table);
  }

  function sides(q) {
    const [left, right] = [state.left, state.right].map(([v, r]) => text(q, v, r));
    const [before, after] = left === null || right === null ? [null, null] : compare(left, right);
    const equal = before !== null && left === right;
    const said = equal ? "Both outputs are the same." : "What differs is marked.";
    return element(
      "div",
      {},
      element("p", {}, before === null ? "" : said),
      element("div", { class: "sides" }, side(q, "left", before), side(q, "right", after)),
    );
  }

  function side(q, which, parts) {
    const [v, r] = state[which];
    const picker = element("select", {
      "aria-label": `output on the ${which}`,
      onchange: (event) => {
        state[which] = event.target.value.split(",").map(Number);
        detail();
        byId("detail").querySelector(`[aria-label="output on the ${which}"]`).focus();
      },
    });
    variants.forEach(({ name }, w) => {
      const options = outcomes(q.cells[w]).map((_, s) =>
        element("option", { value: `${w},${s}`, selected: v === w && r === s },
          `${label(w, s)} ${sign(q.cells[w], s)} ${answer(q, w, s)}`));
      const group = element("optgroup", {}, ...options);
      group.label = name;
      picker.append(group);
    });
    const cell = q.cells[v];
    const facts = [said(cell, r), `answer ${answer(q, v, r)}`];
    if (cell.tokens[r] !== null) facts.push(`${cell.tokens[r]} tokens`);
    if (variants[v].places[r] !== null) facts.push(variants[v].places[r]);
    if (cell.truncated[r] === "1") facts.push("cut at max tokens");
    const shown = text(q, v, r);
    const body = element("pre", { tabindex: 0, dir: "auto", "aria-label": `text on the ${which}` });
    if (cell.output[r] < 0) body.append("This output is not known.");
    else if (shown === null) body.append("The file has no room for this output; the run folder has it.");
    else for (const [part, differs] of parts ?? [[shown, false]]) {
      body.append(differs ? element("mark", {}, part) : part);
    }
    return element("div", {}, picker, element("p", {}, facts.join(", ")), body);
  }

  const same = (a, b) => a !== null && a[0] === b[0] && a[1] === b[1];
  const text = (q, v, r) => q.outputs[q.cells[v].output[r]] ?? null;
  const lacking = (cell, r) => (cell.invalid[r] === "?" ? "not known" : "none");
  const answer = (q, v, r) => q.answers[q.cells[v].answer[r]] ?? lacking(q.cells[v], r);

  byId("variant").append(
    element("option", { value: "" }, "all"),
    ...variants.map(({ name }, v) => element("option", { value: String(v) }, name)),
  );
  const valued = questions.some((q) => q.cells.some((cell) => cell.value));
  for (const [kind, named] of KINDS) {
    const name = valued && kind === "flips" ? "vary" : named;
    const input = element("input", { type: "radio", name: "kind", value: kind, checked: kind === state.kind });
    byId("kind").append(element("label", { hidden: valued && kind === "wrong" }, input, ` ${name} `, element("span", { id: `count-${kind}` })));
  }
  const again = (change) => {
    Object.assign(state, { shown: FIRST, ...change });
    list();
  };
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("variant").addEventListener("change", (event) => again({ variant: event.target.value }));
  byId("kind").addEventListener("change", (event) => again({ kind: event.target.value }));
  byId("search").addEventListener("input", (event) => again({ search: event.target.value }));
  byId("list").addEventListener("keydown", arrows);
  if (!questions.some((q) => q.cells.some(flips))) {
    state.kind = "all";
    document.querySelector('[name=kind][value="all"]').checked = true;
  }
  byId("viewer").hidden = false;
  list();
}

/** The arrow keys move the focus among the buttons of a table. */
function arrows(event) {
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const step = steps[event.key];
  const row = event.target.closest("tr");
  if (!step || !row || event.target.tagName !== "BUTTON") return;
  const rows = [...row.parentElement.rows].map((line) => [...line.querySelectorAll("button")]);
  const y = [...row.parentElement.rows].indexOf(row) + step[0];
  const x = rows[y - step[0]].indexOf(event.target) + step[1];
  const next = rows[y]?.[Math.min(x, rows[y].length - 1)];
  if (!next) return;
  event.preventDefault();
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** Two texts as parts, `[text, differs]` each: the longest common sequence of words is what they share. */
function compare(a, b) {
  const words = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
  const [left, right] = [words(a), words(b)];
  let head = 0;
  while (head < left.length && head < right.length && left[head] === right[head]) head++;
  let tail = 0;
  while (tail < Math.min(left.length, right.length) - head && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
  const [x, y] = [left.slice(head, left.length - tail), right.slice(head, right.length - tail)];
  const [keepX, keepY] = common(x, y);
  const parts = (all, middle, keep) =>
    joined([
      ...all.slice(0, head).map((word) => [word, false]),
      ...middle.map((word, i) => [word, !keep[i]]),
      ...all.slice(all.length - tail).map((word) => [word, false]),
    ]);
  return [parts(left, x, keepX), parts(right, y, keepY)];
}

/** Which words of each are in the longest common sequence of both. */
function common(x, y) {
  const keep = [new Array(x.length).fill(false), new Array(y.length).fill(false)];
  if (x.length * y.length > MOST_CELLS) return keep;
  const wide = y.length + 1;
  const longest = new Uint16Array((x.length + 1) * wide);
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = y.length - 1; j >= 0; j--) {
      longest[i * wide + j] =
        x[i] === y[j]
          ? longest[(i + 1) * wide + j + 1] + 1
          : Math.max(longest[(i + 1) * wide + j], longest[i * wide + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < x.length && j < y.length; ) {
    if (x[i] === y[j]) {
      keep[0][i++] = true;
      keep[1][j++] = true;
    } else if (longest[(i + 1) * wide + j] >= longest[i * wide + j + 1]) i++;
    else j++;
  }
  return keep;
}

/** Neighbours of one kind as one part. */
function joined(parts) {
  const together = [];
  for (const [text, differs] of parts) {
    const last = together.at(-1);
    if (last && last[1] === differs) last[0] += text;
    else together.push([text, differs]);
  }
  return together;
}

function everything(open) {
  for (const part of document.querySelectorAll("details")) part.open = open;
}

addEventListener("beforeprint", () => everything(true));
addEventListener("afterprint", () => everything(false));
read().then(start, () => {
  const told = "This browser cannot unpack the outputs; a newer one can.";
  byId("viewer").before(element("p", { class: "warning" }, told));
});
