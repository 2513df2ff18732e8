// Keeps the page up to date: asks for it again every two seconds and puts the new main part in place of the
// old. What the reader has opened, selected, focused or scrolled to stays as it is. Without this script the
// page is the same, as of when it was loaded.
"use strict";

const EVERY = 2000;
const box = document.getElementById("live");
const state = document.getElementById("live-state");
const button = document.getElementById("live-switch");
let paused = false;
let tag = document.documentElement.dataset.tag || "";

function show(condition) {
  state.textContent = box.dataset[condition];
  box.classList.toggle("on", condition === "live");
  button.textContent = paused ? box.dataset.resume : box.dataset.pause;
}

// The first line in view, by which the reader's place is found again when lines have come in above it.
function landmark() {
  if (window.scrollY < 1) return null;
  for (const line of document.querySelectorAll("[data-key]")) {
    const top = line.getBoundingClientRect().top;
    if (top >= 0) return { key: line.dataset.key, top };
  }
  return null;
}

function replace(fresh) {
  const old = document.getElementById("main");
  const main = fresh.getElementById("main");
  if (!main) return;
  for (const details of old.querySelectorAll("details[open]")) {
    const same = details.id && fresh.getElementById(details.id);
    if (same) same.open = true;
  }
  const place = landmark();
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const path = focused && [...old.querySelectorAll("a, summary, [tabindex]")].indexOf(focused);
  const target = focused && (focused.getAttribute("href") || focused.parentElement.id);
  const adopted = document.adoptNode(main);
  old.replaceWith(adopted);
  const count = fresh.getElementById("advice-count");
  if (count) document.getElementById("advice-count").replaceWith(document.adoptNode(count));
  document.title = fresh.title;
  if (focused) {
    const all = [...adopted.querySelectorAll("a, summary, [tabindex]")];
    const again = all.find((each) => (each.getAttribute("href") || each.parentElement.id) === target) || all[path];
    if (again) again.focus({ preventScroll: true });
  }
  if (place) {
    const line = [...adopted.querySelectorAll("[data-key]")].find((each) => each.dataset.key === place.key);
    if (line) window.scrollBy(0, line.getBoundingClientRect().top - place.top);
  }
}

function isReading() {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && document.getElementById("main").contains(selection.anchorNode);
}

function ask() {
  if (paused || document.hidden || isReading()) return again();
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document";
  if (tag) request.setRequestHeader("if-none-match", tag);
  request.onload = () => {
    if (paused) return again();
    if (request.status === 200 && request.response && !isReading()) {
      tag = request.getResponseHeader("etag") || "";
      replace(request.response);
    }
    show("live");
    again();
  };
  request.onerror = () => {
    show("unreachable");
    again();
  };
  request.send();
}

function again() {
  setTimeout(ask, EVERY);
}

button.addEventListener("click", () => {
  paused = !paused;
  show(paused ? "paused" : "live");
});
box.hidden = false;
show("live");
again();
