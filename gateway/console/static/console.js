// What the pages cannot do without a script: copy a secret, tell local times, count down to the end of an idle session.
"use strict";

(() => {
  // A copy button beside what it copies. Without this script the text is selected by hand.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected: press Ctrl+C";
    }
  });

  // Times are told in UTC; the reader's own time is the tooltip.
  const tellTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (!Number.isNaN(moment.getTime())) time.title = moment.toLocaleString() + " (your time)";
    }
  };

  // The session's end is the server's to decide; this only says so in time. Every answer of the server starts it anew.
  const clock = document.querySelector("[data-idle]");
  let ends = 0;
  const begin = () => {
    if (clock) ends = Date.now() + 1000 * Number(clock.dataset.idle);
  };
  const tick = () => {
    const left = Math.max(0, Math.round((ends - Date.now()) / 1000));
    const text = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
    clock.querySelector("[data-left]").textContent = text;
    const late = left <= 120;
    clock.classList.toggle("late", late);
    const notice = document.getElementById("idle-notice");
    if (notice) notice.hidden = !late;
    if (left === 0) location.reload(); // the server shows the way in
    else setTimeout(tick, 1000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    tellTimes(document);
    begin();
    if (clock) tick();
  });
  document.addEventListener("htmx:afterSwap", (event) => tellTimes(event.detail.target));
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) begin();
  });
  // A file dropped anywhere in its field is chosen; a form with a file says that it works. Both go without this script.
  document.addEventListener("dragover", (event) => {
    const field = event.target.closest && event.target.closest(".drop");
    document.querySelectorAll(".drop").forEach((each) => each.classList.toggle("over", each === field));
    if (document.querySelector(".drop")) event.preventDefault(); // beside it, too: the browser would open the file
  });
  document.addEventListener("drop", (event) => {
    const field = document.querySelector(".drop");
    if (!field) return;
    event.preventDefault();
    field.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    field.querySelector("input[type=file]").files = event.dataTransfer.files;
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-busy]");
    if (!form) return;
    form.querySelector("[data-busy-text]").textContent = form.dataset.busy;
    form.querySelector("button").disabled = true;
  });
  addEventListener("pageshow", () => {
    document.querySelectorAll("[data-busy] button").forEach((button) => { button.disabled = false; });
  });
  // What was refused last is not refused any more.
  document.addEventListener("htmx:beforeRequest", () => {
    const notice = document.getElementById("notice");
    if (notice) notice.replaceChildren();
  });
})();
