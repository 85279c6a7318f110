// A point of a scatter says which clip it is: under the pointer, at a tap, or by the arrow keys.
const stages = [...document.querySelectorAll(".stage")].map((stage) => {
  const spots = JSON.parse(stage.dataset.spots);
  return { stage, spots, ring: stage.querySelector(".ring"), tip: stage.querySelector(".tip"), current: -1 };
});
const REACH = 26; // pixels from a point at which it still answers

function place(one, index) {
  const [left, top] = one.spots[index];
  one.ring.style.left = `${left}%`;
  one.ring.style.top = `${top}%`;
  one.ring.hidden = false;
}

function tell(one, index) {
  one.current = index;
  place(one, index);
  const [left, top, name, text] = one.spots[index];
  const title = document.createElement("b");
  title.textContent = name;
  one.tip.replaceChildren(title, text);
  one.tip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = one.stage;
  const x = (left / 100) * width - one.tip.offsetWidth / 2;
  const y = (top / 100) * height;
  one.tip.style.left = `${Math.max(0, Math.min(x, width - one.tip.offsetWidth))}px`;
  one.tip.style.top = `${y > one.tip.offsetHeight + 16 ? y - one.tip.offsetHeight - 14 : y + 14}px`;
  for (const other of stages) { // the same clip in the other systems' pictures
    if (other === one || other.stage.dataset.board !== one.stage.dataset.board) continue;
    const same = other.spots.findIndex((spot) => spot[2] === name);
    other.tip.hidden = true;
    if (same >= 0) place(other, same);
  }
}

function hide() {
  for (const one of stages) one.ring.hidden = one.tip.hidden = true;
}

function nearest(one, event) {
  const box = one.stage.getBoundingClientRect();
  let best = -1, least = REACH;
  one.spots.forEach(([left, top], index) => {
    const away = Math.hypot(box.left + (left / 100) * box.width - event.clientX, box.top + (top / 100) * box.height - event.clientY);
    if (away < least) { best = index; least = away; }
  });
  return best;
}

for (const one of stages) {
  const { stage, spots } = one;
  if (!spots.length) continue;
  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", `Clips of ${stage.dataset.name}; arrow keys go from clip to clip`);
  stage.parentElement.querySelector(".hint").hidden = false;
  const answer = (event) => {
    const index = nearest(one, event);
    if (index >= 0) tell(one, index);
    else hide();
  };
  stage.addEventListener("pointermove", answer);
  stage.addEventListener("pointerdown", answer);
  stage.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
  stage.addEventListener("blur", hide);
  stage.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (event.key === "Escape") return hide();
    const last = spots.length - 1;
    const next = { Home: 0, End: last }[event.key] ?? (event.key in steps ? one.current + steps[event.key] : null);
    if (next === null) return;
    event.preventDefault();
    tell(one, Math.max(0, Math.min(next, last)));
  });
}
