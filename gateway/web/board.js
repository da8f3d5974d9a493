"use strict";
// The page is whole without this: here times are those of the reader, and figures stay fresh.
const EVERY_MS = 5000;
const FORMS = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false },
  both: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false },
};

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const isToday = at.toDateString() === new Date().toDateString();
    time.title = time.textContent;
    time.textContent = at.toLocaleString([], isToday ? FORMS.time : FORMS.both);
  }
}

async function refresh() {
  const old = document.querySelector("[data-live]");
  if (!old || document.hidden || !getSelection().isCollapsed) return;
  const answer = await fetch(location.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  if (!fresh) return;
  localTimes(fresh);
  const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
  old.replaceWith(fresh);
  document.title = page.title;
  if (focused) fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

localTimes(document);
setInterval(() => refresh().catch(() => {}), EVERY_MS);
