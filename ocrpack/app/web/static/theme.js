/* Runs before the page is painted, so that a chosen theme never flashes in the other one's colours. */
"use strict";

{
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is switched off
    }
  };
  const apply = (theme) => {
    root.dataset.theme = theme;
    document.getElementById("theme")?.setAttribute("aria-pressed", String(theme === "dark"));
  };
  const follow = () => apply(kept() ?? (system.matches ? "dark" : "light"));

  follow();
  system.addEventListener("change", follow);
  addEventListener("DOMContentLoaded", () => {
    follow();
    document.getElementById("theme").addEventListener("click", () => {
      const theme = root.dataset.theme === "dark" ? "light" : "dark";
      apply(theme);
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // it lasts until the page is left
      }
    });
  });
}
