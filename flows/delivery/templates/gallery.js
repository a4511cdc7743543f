"use strict";
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const one = (selector, from = document) => from.querySelector(selector);
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const cards = all(".card");
  const input = one("#find");
  const { root, page } = document.body.dataset;
  const many = one(".pages") !== null;
  const texts = new Map(cards.map((card) => [card, fold(one(".text", card).textContent)]));
  let state = "";

  // -- pictures and play --------------------------------------------------------------------------------------

  const showPoster = (video) => { if (video.dataset.poster) video.poster = video.dataset.poster; };
  const nearby = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) { showPoster(target); nearby.unobserve(target); }
    }
  }, { rootMargin: "600px" });

  for (const card of cards) {
    const media = one(".media", card), video = one("video", card);
    if (!video) continue;
    const play = one(".play", card), peek = one(".peek", card), frames = all(".strip button", card);
    nearby.observe(video);
    video.controls = false;
    play.hidden = false;
    const begin = (at) => {
      play.hidden = peek.hidden = true;
      video.controls = true;
      if (at !== undefined) {
        const seek = () => { video.currentTime = at; };
        if (video.readyState >= 1) seek(); else video.addEventListener("loadedmetadata", seek, { once: true });
      }
      video.play().catch(() => {});
    };
    play.addEventListener("click", () => { begin(); video.focus(); });
    for (const frame of frames) frame.addEventListener("click", () => begin(Number(frame.dataset.at)));
    video.addEventListener("play", () => {
      media.classList.add("playing");
      for (const other of all("video")) if (other !== video) other.pause();
    });
    // The pointer's place over the picture chooses the frame, as on a film strip.
    media.addEventListener("pointermove", (event) => {
      if (play.hidden || !frames.length || event.pointerType === "touch") return;
      const box = media.getBoundingClientRect();
      const share = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
      peek.src = one("img", frames[Math.floor(share * frames.length)]).src;
      peek.hidden = false;
    });
    media.addEventListener("pointerleave", () => { peek.hidden = true; });
  }

  // -- long texts ---------------------------------------------------------------------------------------------

  for (const shots of all(".shots")) {
    const text = shots.textContent.length;
    if (text < 240) continue;
    shots.classList.add("clamped");
    const more = document.createElement("button");
    more.type = "button";
    more.className = "more";
    const say = (open) => { more.textContent = open ? "Show less" : "Show all"; more.setAttribute("aria-expanded", open); };
    say(false);
    more.addEventListener("click", () => say(!shots.classList.toggle("clamped")));
    shots.after(more);
  }

  // -- filter -------------------------------------------------------------------------------------------------

  const filter = () => {
    const words = fold(input.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of cards) {
      const fits = (!state || card.dataset.state === state) && words.every((word) => texts.get(card).includes(word));
      card.hidden = !fits;
      shown += fits;
    }
    const on = Boolean(state || words.length);
    one("#found").textContent = on ? `${shown} of ${cards.length}${many ? " on this page" : ""}` : "";
    one("#nothing").hidden = !on || shown > 0;
    if (many) searchElsewhere(on, words);
  };

  // Other pages are searched in an index that is loaded when it is first needed.
  let index = null;
  const searchElsewhere = (on, words) => {
    const box = one("#elsewhere");
    box.hidden = !on;
    if (!on) return;
    if (!index) {
      index = document.createElement("script");
      index.src = `${root}gallery/search.js`;
      index.addEventListener("load", filter);
      document.head.append(index);
    }
    const found = (window.callsheetVideos || []).filter(([name, its, where, , more]) =>
      where !== page && (!state || its === state) && words.every((word) => fold(`${name} ${more}`).includes(word)));
    box.hidden = found.length === 0;
    one("h2", box).textContent = `${found.length.toLocaleString("en")} more on other pages`;
    one("ul", box).replaceChildren(...found.slice(0, 60).map(([name, its, where, anchor]) => {
      const item = document.createElement("li"), link = document.createElement("a");
      const label = document.createElement("bdi"), badge = document.createElement("span");
      label.textContent = name;
      link.href = `${root}${where}#${anchor}`;
      link.append(label);
      badge.className = `badge ${its}`;
      badge.textContent = its.replace("_", " ");
      item.append(link, badge);
      return item;
    }));
  };

  const choose = (word) => {
    state = word;
    for (const chip of all(".chip")) chip.setAttribute("aria-pressed", chip.dataset.state === state);
    filter();
  };
  const clear = () => { input.value = ""; choose(""); };
  for (const chip of all(".chip")) chip.addEventListener("click", () => choose(chip.dataset.state));
  for (const code of all(".code")) {
    code.addEventListener("click", () => { input.value = code.dataset.find; choose(""); window.scrollTo({ top: one(".tools").offsetTop }); });
  }
  input.addEventListener("input", filter);
  one("#clear").addEventListener("click", () => { clear(); input.focus(); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "Escape" && (typing || input.value || state)) {
      clear();
      input.blur();
    }
  });
  // A browser that comes back to the page may have kept what was typed.
  if (input.value) filter();
})();
