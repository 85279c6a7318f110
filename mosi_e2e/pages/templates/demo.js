// The player and the curve are one: whichever is moved, the other follows. Listeners stand on the document, because
// the result is put into the page anew for each video.
window.mosiDemo = (() => {
  let copy = null;
  const find = (name) => document.getElementById(name);
  const format = (seconds) => {
    const tenths = Math.round(10 * seconds);
    const whole = `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}`;
    return `${whole}.${tenths % 10}`;
  };
  const scoreAt = (field, time) => {
    const windows = JSON.parse(field.dataset.scores).filter(([start, end]) => start <= time && time <= end);
    if (!windows.length) return null;
    const distance = ([start, end]) => Math.abs((start + end) / 2 - time);
    return windows.reduce((best, one) => (distance(one) < distance(best) ? one : best))[2];
  };
  const show = (time) => {
    const field = find("timeline");
    if (!field) return;
    const score = scoreAt(field, time);
    const signed = score === null ? "no score" : `score ${score < 0 ? "−" : "+"}${Math.abs(score).toFixed(2)}`;
    find("cursor").style.left = `${100 * Math.min(time / Number(field.dataset.duration), 1)}%`;
    find("now").textContent = `${format(time)}, ${signed}`;
    field.dataset.time = time;
    field.setAttribute("aria-valuenow", time.toFixed(1));
    field.setAttribute("aria-valuetext", `${format(time)}, ${signed}`);
  };
  const go = (time) => {
    const field = find("timeline"), player = find("player");
    const place = Math.min(Math.max(time, 0), Number(field.dataset.duration));
    if (player.readyState) player.currentTime = place;
    show(place);
  };
  const goTo = (event) => {
    const box = find("timeline").getBoundingClientRect();
    go(((event.clientX - box.left) / box.width) * Number(find("timeline").dataset.duration));
  };
  const follow = () => {
    const player = find("player");
    if (!player) return;
    show(player.currentTime);
    if (!player.paused) requestAnimationFrame(follow);
  };

  document.addEventListener("pointerdown", (event) => {
    if (event.target.closest("#timeline")) goTo(event);
  });
  document.addEventListener("pointermove", (event) => {
    if (event.buttons & 1 && event.target.closest("#timeline")) goTo(event);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".jump");
    if (button) go(Number(button.dataset.at));
  });
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.("#timeline");
    if (!field || event.ctrlKey || event.metaKey || event.altKey) return;
    const end = Number(field.dataset.duration), now = Number(field.dataset.time ?? 0), player = find("player");
    const step = event.shiftKey ? 0.1 : Math.max(end / 60, 0.5);
    const places = {
      ArrowRight: now + step, ArrowUp: now + step, ArrowLeft: now - step, ArrowDown: now - step,
      PageUp: now + end / 10, PageDown: now - end / 10, Home: 0, End: end,
    };
    if (event.key in places) go(places[event.key]);
    else if (event.key === " ") player.paused ? player.play() : player.pause();
    else return;
    event.preventDefault();
  });
  for (const name of ["play", "timeupdate", "seeked"])
    document.addEventListener(name, (event) => { if (event.target.id === "player") follow(); }, true);
  // A recording does not say how long it is until a browser has looked for its end.
  document.addEventListener("loadedmetadata", ({ target }) => {
    if (target.duration !== Infinity) return;
    target.addEventListener("durationchange", () => { target.currentTime = 0; }, { once: true });
    target.currentTime = Number.MAX_SAFE_INTEGER;
  }, true);
  document.addEventListener("error", (event) => {
    if (event.target.tagName !== "VIDEO") return;  // not of the empty track that the field puts into every video
    if (event.target.id === "player") {
      event.target.hidden = true;
      find("unplayable").hidden = false;
    } else if (event.target.closest("#clip")) {  // the field would call it an error, but it can be scored
      event.stopImmediatePropagation();
      hint("This browser cannot show this form of video. Scoring may work all the same.");
    }
  }, true);

  // Below the field: what may be uploaded, and what was wrong with the last try.
  const hint = (text, isProblem = false) => {
    const line = find("hint");
    line.textContent = text;
    line.className = isProblem ? "notice warning" : "notice note";
    line.hidden = !text;
  };
  const refuse = (event, files) => {
    const limits = find("limits").dataset, file = files?.[0];
    hint("");
    if (!file || file.size <= Number(limits.maxBytes)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    hint(`${file.name} has ${Math.ceil(file.size / 1e6)} MB. ${limits.tooLarge}`, true);
    if (event.type === "change") event.target.value = "";
  };
  document.addEventListener("change", (event) => {
    if (event.target.closest("#clip") && event.target.type === "file") refuse(event, event.target.files);
  }, true);
  document.addEventListener("drop", (event) => {
    if (event.target.closest("#clip")) refuse(event, event.dataTransfer?.files);
  }, true);

  // A result has arrived: give its player the copy, and tell those who do not see the page.
  new MutationObserver(() => {
    const player = document.querySelector("#player:not([data-ready])");
    if (!player) return;
    player.dataset.ready = "";
    if (copy) player.src = copy;
    show(0);
    find("result-title").focus({ preventScroll: true });
    find("result-title").scrollIntoView({ block: "start" });
  }).observe(document.documentElement, { childList: true, subtree: true });

  return {
    // The server deletes the video as soon as it is scored, so the player needs one of the browser's own.
    async keep(clip) {
      if (!clip) return;
      if (copy) URL.revokeObjectURL(copy);
      copy = null;
      const answer = await fetch(clip.url);
      if (answer.ok) copy = URL.createObjectURL(await answer.blob());
    },
  };
})();
