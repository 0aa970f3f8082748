"use strict";
(() => {
  const table = document.querySelector("table.sortable");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("vi", { numeric: true });
  const first = [...body.rows]; // rows with equal values keep the order of the list

  function sort(column, descending) {
    const number = heads[column].classList.contains("number");
    const value = (row) => row.cells[column].textContent.trim();
    const keyed = first.map((row) => [value(row), row]);
    keyed.sort(([a], [b]) => {
      if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1); // empty cells come last
      const order = number ? parseFloat(a) - parseFloat(b) || 0 : collator.compare(a, b);
      return descending ? -order : order;
    });
    body.append(...keyed.map(([, row]) => row));
  }

  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(column, descending);
    });
  });

  const find = document.getElementById("find");
  find?.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    first.forEach((row) => { row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted); });
  });

  // Open all sections: collapsed ones would not be printed.
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((section) => { section.open = true; });
  });
})();
