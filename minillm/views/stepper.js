// Shows one step at a time. Without this script all steps stand one under the other.
(function () {
  const view = document.getElementById("VIEW_ID");
  const steps = Array.from(view.querySelectorAll(".mv-step"));
  if (steps.length < 2) return;
  const nav = view.querySelector(".mv-nav");
  const [previous, next] = nav.querySelectorAll("button");
  const slider = nav.querySelector("input");
  const where = nav.querySelector(".mv-where");
  let current = 0;

  function show(i) {
    current = Math.min(Math.max(i, 0), steps.length - 1);
    steps.forEach((step, j) => { step.hidden = j !== current; });
    previous.setAttribute("aria-disabled", String(current === 0));
    next.setAttribute("aria-disabled", String(current === steps.length - 1));
    slider.value = String(current + 1);
    const picture = steps[current].querySelector(".mv-scroll");
    const active = steps[current].querySelector(".mv-box-active");
    if (active) picture.scrollLeft = active.x.baseVal.value + (active.width.baseVal.value - picture.clientWidth) / 2;
    where.textContent = "step " + (current + 1) + " of " + steps.length;
  }

  previous.addEventListener("click", () => show(current - 1));
  next.addEventListener("click", () => show(current + 1));
  slider.addEventListener("input", () => show(Number(slider.value) - 1));
  view.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: steps.length - 1 };
    const scrolls = event.target.closest(".mv-scroll, .mv-tables");  // there the arrows move the picture
    if (!(event.key in moves) || event.target === slider || scrolls) return;
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    show(moves[event.key]);
  });
  view.classList.add("mv-stepping");
  nav.hidden = false;
  show(0);
})();
