// Heads of columns become buttons. A click sorts the rows of every section: up, down, then as they were.
for (const table of document.querySelectorAll("figure.table table")) {
  const heads = [...table.tHead.rows[0].cells];
  const bodies = [...table.tBodies].map((body) => ({ body, rows: [...body.rows].filter((row) => row.className !== "section") }));
  const value = (row, place) => {
    const cell = row.cells[place].cloneNode(true);
    cell.querySelectorAll("small").forEach((detail) => detail.remove());
    const text = cell.textContent.trim();
    if (!cell.classList.contains("number")) return text === "–" ? null : text;
    const number = parseFloat(text.replaceAll("−", "-").replaceAll(",", ""));
    return Number.isNaN(number) ? null : number * (text.endsWith("GiB") ? 1024 : 1);
  };
  const order = (place, sign) => (one, other) => {
    const [left, right] = [value(one, place), value(other, place)];
    if (left === null || right === null) return (left === null) - (right === null);  // no value comes last, both ways
    return sign * (typeof left === "number" ? left - right : left.localeCompare(right, "en", { numeric: true }));
  };
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { null: "ascending", ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      for (const { body, rows } of bodies) {
        body.append(...(next ? [...rows].sort(order(place, next === "ascending" ? 1 : -1)) : rows));
      }
    });
  });
}
