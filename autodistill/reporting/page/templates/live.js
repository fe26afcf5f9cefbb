(() => {
  "use strict";
  const SECONDS = 2;
  const content = document.getElementById("content");
  const text = document.getElementById("live-text"), bar = document.getElementById("live-bar");
  const when = document.getElementById("live-when");
  let tag = null, state = null, shown = "", asked = 0;

  // Where a reader is: the section at the top of the window, and how far it is from there.
  function place() {
    const sections = [...content.querySelectorAll("section")];
    const at = sections.findLastIndex((one) => one.getBoundingClientRect().top <= 80);
    return { at, top: at < 0 ? 0 : sections[at].getBoundingClientRect().top, y: scrollY };
  }
  function back({ at, top, y }) {
    const section = at < 0 ? null : content.querySelectorAll("section")[at];
    scrollTo({ top: section ? scrollY + section.getBoundingClientRect().top - top : y, behavior: "instant" });
  }

  const path = (node) => (node === content ? [] : [...path(node.parentNode), [...node.parentNode.children].indexOf(node)]);
  const focused = () => (content.contains(document.activeElement) ? path(document.activeElement) : null);
  function focus(found) {
    const node = found && found.reduce((one, index) => one && one.children[index], content);
    if (node) node.focus({ preventScroll: true });
  }

  function replace(html) {
    const next = new DOMParser().parseFromString(html, "text/html").body;
    const open = new Set([...content.querySelectorAll("details[open] > summary")].map((one) => one.textContent));
    const [here, had] = [place(), focused()];
    for (const box of next.querySelectorAll(".plot")) { // the drawn one stays, with its zoom
      const old = document.getElementById(box.id);
      if (!old) continue;
      old.setAttribute("aria-label", box.getAttribute("aria-label"));
      box.replaceWith(old);
    }
    content.replaceChildren(...next.childNodes);
    for (const one of content.querySelectorAll("details > summary")) if (open.has(one.textContent)) one.parentNode.open = true;
    document.dispatchEvent(new Event("replaced"));
    focus(had);
    back(here);
  }

  async function news() {
    const answer = await fetch("/state.json", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    asked = Date.now();
    if (answer.status === 304) return;
    if (!answer.ok) throw new Error(answer.statusText);
    tag = answer.headers.get("ETag");
    state = await answer.json();
  }
  async function results() {
    if (!state || !state.report || state.report === shown) return;
    const answer = await fetch("/content", { cache: "no-store" });
    if (answer.status !== 200) return;
    const version = answer.headers.get("ETag").replaceAll('"', "");
    if (version === shown) return; // the server rests
    const html = await answer.text();
    shown = version;
    replace(html);
  }
  function say() {
    text.textContent = state.sentence;
    bar.hidden = !state.trials;
    if (state.trials) [bar.max, bar.value] = [state.trials, state.done];
    document.body.dataset.phase = state.phase;
    when.textContent = state.at ? `results as of ${new Date(1000 * state.at).toLocaleTimeString()}` : "";
  }
  async function turn() {
    try {
      await news();
      say();
      await results();
    } catch {
      document.body.dataset.phase = "gone";
      text.textContent = "autodistill watch has ended: this page stays as it is and gets no further updates.";
      tag = null;
    }
    setTimeout(turn, 1000 * SECONDS);
  }
  turn();
})();
