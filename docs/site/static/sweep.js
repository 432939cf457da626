// A recorded sweep: a control that moves shows its frame, and the others go back to where they
// stood when that was recorded.
document.addEventListener("input", (event) => {
  const moved = event.target.closest(".sweep [data-frames]");
  if (!moved) return;
  const sweep = moved.closest(".sweep");
  for (const control of sweep.querySelectorAll("[data-frames]")) {
    if (control !== moved) control.value = control.dataset.start;
    const label = control.parentNode.querySelector("output");
    if (label) label.textContent = JSON.parse(control.dataset.labels)[control.value];
  }
  sweep.querySelector("img.frame").src = JSON.parse(moved.dataset.frames)[moved.value];
});

// All frames of a sweep are fetched when the pointer comes near, so that none is waited for.
document.addEventListener("pointerover", (event) => {
  const sweep = event.target.closest && event.target.closest(".sweep");
  if (!sweep || sweep.fetched) return;
  sweep.fetched = [...sweep.querySelectorAll("[data-frames]")].flatMap((control) =>
    JSON.parse(control.dataset.frames).map((file) => Object.assign(new Image(), { src: file })));
});
