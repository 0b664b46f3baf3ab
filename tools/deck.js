// Deals the blocks of each slide out to pages of 1280 x 720, then starts reveal.js.
// It measures what the browser really draws, so a page never overflows, whatever fonts there are.
const BOTTOM = 720 - 44; // below are the slide's number and the link home
const LEAST = 0.75; // a picture may shrink to this share of its best size to stay with its text
const LARGER = 7; // so many pixels may code and its output grow where a page has room

async function start() {
  document.documentElement.classList.add("measuring");
  await MathJax.startup.promise;
  await MathJax.typesetPromise();
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  for (const section of document.querySelectorAll(".slides > section")) paginate(section);
  for (const page of document.querySelectorAll(".slides > section")) enlarge(page);
  document.documentElement.classList.remove("measuring");
  await Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 4, center: false, hash: true,
    transition: "none", backgroundTransition: "none", slideNumber: "c/t", plugins: [RevealNotes],
  });
  document.documentElement.dataset.ready = "yes"; // tests wait for it
}

let running = ""; // the last heading, repeated in small on pages that go on

function paginate(section) {
  const blocks = [...section.children];
  let page = newPage(section, blocks[0].querySelector("h1, h2, h3") ? "" : running);
  blocks.forEach((block, index) => {
    const heading = block.querySelector("h1, h2, h3");
    if (block.matches("aside")) return page.append(block);
    page.append(block);
    if (block.scrollWidth > block.clientWidth + 1) block.style.zoom = block.clientWidth / block.scrollWidth; // a long formula
    if (block.matches(".picture")) fitPicture(block, page);
    if (overflows(page)) page = carryOver(block, page, section);
    if (heading) running = heading.textContent;
    const last = index === blocks.length - 1;
    if (block.matches(".question") && !last) page = newPage(section, running); // the answer comes on the next page
  });
  section.remove();
}

// The block begins another page; a heading above it, or the code that made it, comes along where there is room.
function carryOver(block, page, section) {
  let before = block.previousElementSibling;
  while (before?.matches("aside")) before = before.previousElementSibling;
  if (before?.matches(".picture") && !block.matches(".code") && shrinkPicture(before.querySelector("img"), page)) return page;
  const alone = !before || before.matches(".running");
  if (!alone && block.querySelector("ul, ol") && BOTTOM - yOf(block, page) > 200) return divide(block, page, section);
  const next = alone ? page : newPage(section, running);
  if (!alone) {
    const heading = before.querySelector("h1, h2, h3");
    if (heading || block.querySelector("h1, h2, h3")) next.querySelector(".running")?.remove();
    if (heading || (madeBy(before, block) && before.offsetHeight + block.offsetHeight < BOTTOM - 80)) next.append(before);
    next.append(block);
    if (!content(page)) page.remove();
  }
  if (block.matches(".picture")) fitPicture(block, next);
  return overflows(next) ? divide(block, next, section) : next;
}

// A block longer than a page is divided between its lines or items; what cannot be divided is made smaller.
function divide(block, page, section) {
  if (block.matches(".lines") && shrinkLetters(block, page)) return page;
  const box = block.matches(".lines") ? block.querySelector("code") : block.querySelector("ul, ol, tbody");
  if (!box || box.children.length < 2) {
    block.style.zoom = (BOTTOM - yOf(block, page)) / block.offsetHeight;
    return page;
  }
  const next = newPage(section, running);
  const rest = block.cloneNode(true);
  const into = rest.matches(".lines") ? rest.querySelector("code") : rest.querySelector("ul, ol, tbody");
  into.replaceChildren();
  if (into.matches("ol")) into.start = box.start + box.children.length;
  while (overflows(page) && box.children.length > 1) {
    into.prepend(box.lastElementChild);
    if (into.matches("ol")) into.start = box.start + box.children.length;
  }
  next.append(rest);
  return overflows(next) ? divide(rest, next, section) : next;
}

// Slightly smaller letters are better than two lines on a page of their own.
function shrinkLetters(block, page) {
  const usual = parseFloat(getComputedStyle(block).fontSize);
  for (let size = usual - 1; size >= (block.matches(".code") ? 19 : 16); size--) {
    block.style.fontSize = `${size}px`;
    if (!overflows(page)) return true;
  }
  block.style.fontSize = "";
  return false;
}

// What a page is for grows where there is room, so that the last row can read it: a question that stands alone, or code,
// as long as no line breaks that did not break before.
function enlarge(page) {
  const question = page.querySelector(".question");
  const others = [...page.querySelectorAll(".block")].filter((block) => block !== question && !block.querySelector("h1, h2, h3"));
  for (let size = 38; question && !others.length && size > 28; size--) {
    question.style.fontSize = `${size}px`;
    if (!overflows(page)) return;
  }
  const blocks = [...page.querySelectorAll("pre.block")];
  const usual = blocks.map((block) => parseFloat(getComputedStyle(block).fontSize));
  const setSizes = (more) => blocks.forEach((block, index) => (block.style.fontSize = `${usual[index] + more}px`));
  const rows = () => blocks.map((block) => Math.round(block.clientHeight / parseFloat(getComputedStyle(block).lineHeight)));
  const before = String(rows());
  for (let more = LARGER; more > 0; more--) {
    setSizes(more);
    if (!overflows(page) && String(rows()) === before) return;
  }
  setSizes(0);
}

// A picture gives up some of its height for the sentence that follows it.
function shrinkPicture(image, page) {
  const before = [image.style.height, image.style.width].map(parseFloat);
  const over = page.lastElementChild.getBoundingClientRect().bottom - page.getBoundingClientRect().top - BOTTOM;
  const share = 1 - over / before[0];
  if (before[0] * share < LEAST * image.dataset.best) return false;
  [image.style.height, image.style.width] = before.map((length) => `${length * share}px`);
  return true;
}

function fitPicture(block, page) {
  const image = block.querySelector("img");
  const wide = 1280 - 2 * 56;
  const best = Math.min(1.5, wide / image.naturalWidth) * image.naturalHeight;
  image.dataset.best = best;
  const free = BOTTOM - yOf(block, page) - 16;
  const alone = ![...page.children].some((child) => child !== block && !child.matches(".running, aside"));
  const height = Math.min(best, alone || free >= LEAST * best ? free : best);
  image.style.height = `${height}px`;
  image.style.width = `${(height * image.naturalWidth) / image.naturalHeight}px`;
}

function newPage(section, title) {
  const page = document.createElement("section");
  if (title) page.innerHTML = '<p class="running"></p>';
  if (title) page.firstChild.textContent = title;
  section.before(page);
  return page;
}

const madeBy = (code, block) => code.matches(".code") && !block.matches(".code") && block.matches(".picture, .output, .table");
const content = (page) => [...page.children].some((child) => !child.matches(".running, aside"));
const yOf = (block, page) => block.getBoundingClientRect().top - page.getBoundingClientRect().top;
const overflows = (page) => {
  const last = [...page.children].filter((child) => !child.matches("aside")).at(-1);
  return last ? last.getBoundingClientRect().bottom - page.getBoundingClientRect().top > BOTTOM : false;
};

start();
