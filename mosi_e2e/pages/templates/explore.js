// One time cursor across all rows of a clip: it follows the pointer, and the sound while that plays.
for (const clip of document.querySelectorAll(".clip")) {
  const tracks = clip.querySelector(".tracks"), cursor = clip.querySelector(".cursor");
  const axis = clip.querySelector(".axis"), audio = clip.querySelector("audio");
  const end = Number(tracks.dataset.end);
  const show = (share) => {
    cursor.hidden = false;
    cursor.style.left = `${axis.offsetLeft + share * axis.offsetWidth}px`;
  };
  const share = (event) => {
    const box = axis.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  tracks.addEventListener("pointermove", (event) => { if (!audio || audio.paused) show(share(event)); });
  tracks.addEventListener("pointerleave", () => { if (!audio || audio.paused) cursor.hidden = true; });
  if (!audio) continue;
  tracks.addEventListener("click", (event) => { audio.currentTime = share(event) * end; show(share(event)); });
  const follow = () => {
    show(Math.min(audio.currentTime / end, 1));
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", follow);
}
