"use strict";
document.documentElement.classList.add("js");

// Charts: the still is replaced by a live one that answers to pointing and to the width of the screen.
const phone = matchMedia("(max-width: 40rem)");

async function enliven(figure) {
  const spec = JSON.parse(figure.querySelector("script:not(.stops)").textContent);
  const canvas = figure.querySelector(".canvas");
  if (phone.matches) {
    // no room beside the lines: the key above the chart names the series instead
    spec.layer = spec.layer.filter((layer) => !(layer.name || "").startsWith("beside"));
    spec.padding.right = spec.padding.left;
    spec.config.axis.labelLimit = 120;
  }
  if (typeof spec.width === "number") {
    spec.width = spec.height = Math.min(spec.width, canvas.clientWidth - 90 - (spec.padding.right - spec.padding.left));
  }
  const live = document.createElement("div");
  live.className = "live";
  const before = [...canvas.children];
  canvas.append(live);
  try {
    const made = await vegaEmbed(live, spec, {
      mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
      tooltip: { disableDefaultStyle: true },
    });
    before.forEach((element) => element.remove());
    figure.chart = made.view;
    if (figure.turn) figure.turn();
  } catch (error) {
    live.remove();
    console.error(error);
  }
}

async function enlivenAll() {
  for (const figure of document.querySelectorAll("figure.chart")) await enliven(figure);
  document.documentElement.dataset.charts = "live";
}

function save(figure) {
  const picture = figure.querySelector(".canvas svg").cloneNode(true);
  picture.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const colours = getComputedStyle(document.documentElement);
  const text = new XMLSerializer().serializeToString(picture)
    .replace(/var\((--[a-z-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim());
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.download = figure.querySelector("figcaption").firstElementChild.textContent.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) + ".svg";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Sliders: the numbers of a stop stand large, and the rule of the chart moves to it.
document.querySelectorAll("figure.slider").forEach((figure) => {
  const { stops, written, rows } = JSON.parse(figure.querySelector("script.stops").textContent);
  const dial = figure.querySelector(".dial input");
  const values = [...figure.querySelectorAll(".readings .value")];

  figure.turn = () => {
    const place = Number(dial.value);
    figure.querySelector(".dial output").textContent = written[place];
    dial.setAttribute("aria-valuetext", figure.querySelector(".dial label").textContent);
    values.forEach((value, column) => { value.textContent = rows[place][column]; });
    if (figure.chart) figure.chart.signal("setting", stops[place]).runAsync();
  };
  dial.addEventListener("input", figure.turn);
});

document.querySelectorAll("figure.chart").forEach((figure) => {
  figure.querySelector(".save").addEventListener("click", () => save(figure));
});
if (window.vegaEmbed) {
  enlivenAll();
  phone.addEventListener("change", enlivenAll);
}

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

// Galleries: one tile of each is reached by Tab, arrows move, Enter enlarges.
const viewer = document.getElementById("viewer");

function enlarge(tile) {
  const stage = viewer.querySelector(".stage");
  const pairs = [...tile.querySelectorAll(".pair")].map((pair) => pair.cloneNode(true));
  for (const pair of pairs) pair.querySelector("p").textContent = pair.querySelector("img").alt;
  stage.replaceChildren(...pairs);
  viewer.tile = tile;
  if (!viewer.open) viewer.showModal();
}

function neighbour(tile, key) {
  const tiles = [...tile.parentElement.children];
  const across = tiles.filter((other) => other.offsetTop === tiles[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key];
  if (key === "Home") return tiles[0];
  if (key === "End") return tiles[tiles.length - 1];
  return step === undefined ? undefined : tiles[tiles.indexOf(tile) + step];
}

function reach(tile) {
  for (const other of tile.parentElement.children) other.tabIndex = other === tile ? 0 : -1;
}

document.querySelectorAll(".tiles").forEach((gallery) => {
  for (const tile of gallery.children) {
    tile.setAttribute("role", "button");
    tile.setAttribute("aria-label", [...tile.querySelectorAll("img")].map((image) => image.alt).join("; ") + ". Enlarge.");
    tile.tabIndex = tile === gallery.firstElementChild ? 0 : -1;
    tile.addEventListener("click", () => { reach(tile); enlarge(tile); });
    tile.addEventListener("keydown", (event) => {
      const next = neighbour(tile, event.key);
      if (event.key === "Enter" || event.key === " ") enlarge(tile);
      else if (next) { reach(next); next.focus(); }
      else return;
      event.preventDefault();
    });
  }
  gallery.setAttribute("role", "group");
});

viewer.addEventListener("keydown", (event) => {
  const next = ["ArrowLeft", "ArrowRight"].includes(event.key) && neighbour(viewer.tile, event.key);
  if (next) { reach(next); enlarge(next); event.preventDefault(); }
});
viewer.addEventListener("close", () => viewer.tile.focus());

// Strips: every row shows the same frame.
document.querySelectorAll("figure.strip").forEach((figure) => {
  const reels = [...figure.querySelectorAll(".reel")];
  const count = Number(reels[0].dataset.frames);
  const pause = 1000 / Number(figure.querySelector(".reels").dataset.rate);
  const play = figure.querySelector(".play");
  let frame = 0, timer = 0;

  function show(wanted) {
    frame = (wanted + count) % count;
    for (const reel of reels) reel.querySelector("image").setAttribute("x", -frame * Number(reel.dataset.width));
    figure.querySelector("output").textContent = `frame ${frame + 1} of ${count}`;
  }

  function run(going) {
    clearInterval(timer);
    timer = going ? setInterval(() => show(frame + 1), pause) : 0;
    play.textContent = going ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(going));
  }

  play.addEventListener("click", () => run(!timer));
  figure.querySelector(".back").addEventListener("click", () => { run(false); show(frame - 1); });
  figure.querySelector(".forward").addEventListener("click", () => { run(false); show(frame + 1); });
  figure.querySelector(".controls").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { run(false); show(frame + step); event.preventDefault(); }
  });
});
