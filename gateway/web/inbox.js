"use strict";
// The page is whole without this; with it, facts and messages come in by themselves.
const facts = document.getElementById("facts");
const FACTS_MAX = 200;

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour12: false });
  }
}

function isOld(old, fresh) {
  // A mail in its frame is read again only when there is another message to show.
  if (old.dataset.version !== undefined) return old.dataset.version !== fresh.dataset.version;
  return old.innerHTML !== fresh.innerHTML || old.tagName !== fresh.tagName;
}

async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  localTimes(page);
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
    if (fresh && old.isConnected && isOld(old, fresh)) replace(old, fresh);
  }
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
  const top = old.scrollTop;
  old.replaceWith(fresh);
  fresh.scrollTop = top;
  if (focused) fresh.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
}

let due = 0;
function refreshSoon() {
  if (!due) due = setTimeout(() => { due = 0; refresh().catch(() => {}); }, 200);
}

function take(event) {
  document.querySelector("aside > .empty")?.remove();
  facts.insertAdjacentHTML("afterbegin", event.data);
  localTimes(facts.firstElementChild);
  facts.firstElementChild.classList.add("fresh");
  while (facts.children.length > FACTS_MAX) facts.lastElementChild.remove();
  refreshSoon();
}

localTimes(document);
const after = document.querySelector(".desk").dataset.last;
new EventSource(`/inbox/stream?after=${after}`).onmessage = take;
