
"use strict";
// Colours the map by what is chosen, and shows the words of a tile where there is no pointer to hover with.
const map = document.querySelector("figure.map");
if (map) {
  const form = map.querySelector("form"), said = map.querySelector(".said");
  const tiles = map.querySelectorAll("[data-m]"), asked = said.textContent;
  const paint = () => {
    const { scale, at } = form.querySelector(":checked").dataset;
    map.dataset.scale = scale;
    for (const tile of tiles) tile.setAttribute("class", scale + tile.dataset.m[at]);
  };
  const tell = (event) => {
    const title = event.target.closest("[data-m]")?.querySelector("title");
    said.textContent = title ? title.textContent : asked;
  };
  form.hidden = false;
  form.addEventListener("change", paint);
  map.querySelector("svg.tiles").addEventListener("pointerover", tell);
  map.querySelector("svg.tiles").addEventListener("click", tell);
  paint();
}
