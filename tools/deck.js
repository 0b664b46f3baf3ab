// Deals the blocks of each section out to pages of 1280 x 720 as TeX breaks lines: on the fewest pages, none nearly empty.
// It measures what the browser draws, so nothing is cut off, whatever fonts there are. All else is reveal.js.
const ROOM = 640; // of 720: below are the slide's number and the links
const LEAST = 0.66; // a picture may shrink to this share of its best size to stay with its text
const SIZES = [1.2, 1.15, 1.1, 1.05, 1, 0.96, 0.92, 0.88, 0.84]; // of letters: the largest that fits is taken
const RUNNING = 38; // what the repeated heading takes on a page that begins without one
const GAP = 14; // between blocks

async function start() {
  document.documentElement.classList.add("measuring");
  await MathJax.startup.promise;
  await MathJax.typesetPromise();
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))); // interactive figures
  for (const section of document.querySelectorAll(".slides > section")) deal(section);
  document.documentElement.classList.remove("measuring");
  await Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 4, center: false, hash: true,
    transition: "none", backgroundTransition: "none", slideNumber: "c/t", plugins: [RevealNotes],
    scrollLayout: "compact", scrollSnap: false, // on a phone: one page below the other
  });
  document.documentElement.dataset.ready = "yes"; // tests wait for it
}

// Paragraphs, listings, pictures and the items of lists, each with the speaker's notes that follow it.
function unitsOf(section) {
  const units = [];
  for (const cell of [...section.children]) {
    const blocks = cell.matches(".text") ? [...cell.children] : [cell];
    if (cell.matches(".subslide")) blocks[0].classList.add("begins");
    for (const block of blocks) {
      if (block.matches("aside")) units.at(-1).notes.push(block);
      else if (block.matches("ul, ol")) units.push(...[...block.children].map((element, index) => ({ element, list: block, index, notes: [] })));
      else units.push({ element: block, notes: [] });
    }
  }
  return units;
}

function deal(section) {
  const units = unitsOf(section);
  const least = [0], best = [0]; // the height of all units before each
  for (const { element } of units) {
    const height = element.getBoundingClientRect().height, flexible = element.querySelector("img, .course-figure");
    const share = flexible?.matches("img") ? LEAST : 0.9; // controls have to stay large
    if (flexible) Object.assign(flexible.dataset, { height, best: Math.min(ROOM, height) });
    least.push(least.at(-1) + GAP + (flexible ? share * Math.min(ROOM, height) : height));
    best.push(best.at(-1) + GAP + height);
  }
  const ways = [{ cost: 0 }]; // the cheapest pages for the first 0, 1, 2, ... units
  for (let to = 1; to <= units.length; to++) {
    ways[to] = { cost: Infinity };
    for (let from = to - 1; from >= 0; from--) {
      const above = isHeading(units[from]) ? 0 : RUNNING;
      const [tight, full] = [least, best].map((sums) => (sums[to] - sums[from] + above) / ROOM);
      if (tight > 1.12 && to - from > 1) break;
      const cost = ways[from].cost + 100 + 400 * Math.max(0, tight - 1) + emptiness(full) + parting(units[to - 1], units[to]);
      if (cost < ways[to].cost) ways[to] = { cost, from };
    }
  }
  const pages = [];
  for (let to = units.length; to > 0; to = ways[to].from) pages.unshift(units.slice(ways[to].from, to));
  for (const page of pages.map((page) => write(section, page))) fit(page), hideAnswers(page);
  section.remove();
}

const isHeading = ({ element }) => element.matches("h1, h2, h3");
const emptiness = (full) => (full < 0.3 ? 150 : 40 * (1 - Math.min(1, full)) ** 2);

// What it costs to part two units.
function parting(before, next) {
  if (!next) return 0;
  if (isHeading(before)) return 1e6;
  if (next.element.matches(".begins")) return -30;
  const made = before.element.matches(".code") && next.element.matches(".output, .picture, .table, .interactive");
  const open = /[:,]\s*$/.test(before.element.textContent) || next.element.matches(".formula"); // the sentence goes on
  return made || open || continues(next.element) ? 60 : 0;
}

// A paragraph that begins in small letters goes on with the sentence before it.
const continues = (block) => block.matches("p") && /^\p{Ll}/u.test(block.firstChild?.data);

let running = ""; // the last heading, repeated in small on pages that go on

function write(section, units) {
  const page = document.createElement("section");
  section.before(page);
  if (running && !isHeading(units[0])) page.append(Object.assign(document.createElement("p"), { className: "running", textContent: running }));
  let open = null, copy = null; // the list that goes on
  for (const { element, list, index } of units) {
    if (isHeading({ element })) running = element.textContent;
    if (list && list !== open) {
      copy = page.appendChild(list.cloneNode());
      if (list.matches("ol")) copy.start = list.start + index;
    }
    open = list;
    (list ? copy : page).append(element);
  }
  page.append(...units.flatMap((unit) => unit.notes));
  return page;
}

// What follows a question on its page waits for a key.
function hideAnswers(page) {
  let asked = 0;
  for (const block of page.querySelectorAll(":scope > :not(aside, .running)")) {
    if (asked) Object.assign(block.dataset, { fragmentIndex: asked }), block.classList.add("fragment");
    if (block.matches(".question")) asked++;
  }
}

// Chooses the size of letters, and gives pictures what is left. Lines of code break only where no size is small enough.
function fit(page) {
  const flexibles = [...page.querySelectorAll("[data-best]")];
  const wanted = flexibles.reduce((sum, one) => sum + Number(one.dataset.best), 0);
  const wide = () => [...page.children].some((block) => block.scrollWidth > block.clientWidth + 1);
  const free = () => flexibles.reduce((sum, one) => sum + one.getBoundingClientRect().height, ROOM - page.offsetHeight);
  const fits = ([whole, size]) => {
    page.classList.toggle("whole", whole);
    page.style.setProperty("--size", size);
    return free() >= (size > 1 ? 1 : LEAST) * wanted && !wide();
  };
  [true, false].flatMap((whole) => SIZES.map((size) => [whole, size])).some(fits);
  const share = Math.min(1, free() / (wanted || 1));
  for (const one of flexibles) {
    if (one.matches("img")) one.style.height = `${one.dataset.best * share}px`;
    else one.style.zoom = (1.4 * share * one.dataset.best) / one.dataset.height; // 1.4 in deck.css
  }
}

start();
