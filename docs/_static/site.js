// A box that scrolls must be reachable by keyboard.
function reachable() {
  const boxes = "div.highlight pre, .output, .pst-scrollable-table-container, mjx-container";
  for (const box of document.querySelectorAll(boxes)) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
  }
}

// The side bar's arrows that unfold a list have no words of their own.
function nameArrows() {
  for (const arrow of document.querySelectorAll("summary")) {
    if (!arrow.textContent.trim()) arrow.setAttribute("aria-label", "Show the pages below");
  }
}

// Questions that come before an answer stand in a box.
function markQuestions() {
  for (const paragraph of document.querySelectorAll(".bd-article section > p")) {
    if ([...paragraph.querySelectorAll("strong")].some((strong) => strong.textContent === "Predict.")) {
      paragraph.classList.add("predict");
    }
  }
}

window.addEventListener("load", reachable);
window.addEventListener("resize", reachable);
document.addEventListener("DOMContentLoaded", nameArrows);
document.addEventListener("DOMContentLoaded", markQuestions);
