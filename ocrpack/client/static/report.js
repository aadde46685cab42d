"use strict";
// Sorts the table of files by the column whose head is pressed, and opens the file that a link leads to.
for (const head of document.querySelectorAll("th[aria-sort]")) {
  head.querySelector("button").addEventListener("click", () => {
    const falling = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (row) => row.cells[head.cellIndex].dataset.value;
    const compare = head.classList.contains("number")
      ? (a, b) => value(a) - value(b)
      : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => (falling ? -1 : 1) * compare(a, b));
    body.append(...rows);
  });
}
const open = () => {
  const place = document.getElementById(location.hash.slice(1));
  if (place) place.open = true;
};
addEventListener("hashchange", open);
open();
