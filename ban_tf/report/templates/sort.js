// Headings of columns sort the rows of their table; without scripts the page is whole.
for (const table of document.querySelectorAll("table:not(:has(tbody th.group))")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const number = (text) => parseFloat(text.replace(/,/g, "").replace(/^\+/, ""));
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].textContent;
      const order = (first, second) => {
        const [a, b] = [number(key(first)), number(key(second))];
        if (isNaN(a) !== isNaN(b)) return isNaN(a) ? 1 : -1; // rows without a number come last
        const way = down ? -1 : 1;
        return way * (isNaN(a) ? key(first).localeCompare(key(second)) : a - b);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
