// The form sorts and filters the cards. The page without scripts shows all of them by gain.
const form = document.querySelector(".choices");
const list = document.querySelector(".cards");
const cards = [...list.children];
const orders = {
  "gain-down": (one, other) => other.dataset.gain - one.dataset.gain,
  "gain-up": (one, other) => one.dataset.gain - other.dataset.gain,
  prompt: (one, other) => one.dataset.prompt.localeCompare(other.dataset.prompt, "en", { numeric: true }),
};
const show = () => {
  const { sort, least, most, kind, kept } = Object.fromEntries(new FormData(form));
  list.append(...[...cards].sort(orders[sort]));
  for (const card of cards) {
    const gain = Number(card.dataset.gain);
    const within = (least === "" || gain >= Number(least)) && (most === "" || gain <= Number(most));
    card.hidden = !within || (kind && card.dataset.kind !== kind) || (kept && card.dataset.kept !== kept);
  }
  const shown = cards.filter((card) => !card.hidden).length;
  form.querySelector("output").textContent = `${shown} of ${cards.length} shown`;
};
form.hidden = false;
form.addEventListener("input", show);
form.addEventListener("reset", () => setTimeout(show));
form.addEventListener("submit", (event) => event.preventDefault());
show();
