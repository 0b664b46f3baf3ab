// The frame that all interactive figures share: controls, one sharp canvas, and a line of text for everybody.
// `root` is the figure's element with its still picture, `data` what the cell's Python computed.
function makeFrame(root, data) {
  const still = root.querySelector("img");
  const panel = Object.assign(document.createElement("div"), { className: "figure-controls" });
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", still.alt);
  const text = document.createElement("p");
  text.setAttribute("aria-live", "polite");
  still.replaceWith(panel, canvas, text);

  let height = () => 300;
  let paint = () => {};
  let waiting = false;

  function paintNow() {
    waiting = false;
    if (!root.clientWidth) return; // out of sight, as on another slide: it is drawn when it has a size
    const width = Math.max(280, Math.min(700, root.clientWidth));
    const tall = height(width);
    const sharpness = Math.max(2, window.devicePixelRatio || 1);
    Object.assign(canvas, { width: width * sharpness, height: tall * sharpness });
    Object.assign(canvas.style, { width: `${width}px`, height: `${tall}px` });
    const context = canvas.getContext("2d");
    context.scale(sharpness, sharpness);
    context.imageSmoothingEnabled = false;
    paint(context, width, tall, coloursOf(root));
  }

  function redraw() {
    if (!waiting) requestAnimationFrame(paintNow);
    waiting = true;
  }

  function control(label, element, event) {
    const box = document.createElement("label");
    box.append(`${label} `, element);
    panel.append(box);
    element.addEventListener(event, redraw);
    return box;
  }

  const frame = {
    data,
    redraw,
    panel,
    say(words) {
      const whole = words.replaceAll(" %", "\u00a0%"); // no line begins with the sign
      if (text.textContent !== whole) text.textContent = whole;
    },
    draw(heightOf, painter) {
      height = heightOf;
      paint = painter;
      redraw();
    },
    // A slider over a list of values; the words for a value stand beside it.
    slider(label, values, start, words = String) {
      const input = document.createElement("input");
      Object.assign(input, { type: "range", min: 0, max: values.length - 1, step: 1, value: start });
      const shown = document.createElement("output");
      const box = control(label, input, "input");
      box.append(shown);
      const slider = {
        get index() {
          return Number(input.value);
        },
        get value() {
          return values[slider.index];
        },
        set(index) {
          input.value = index;
          slider.show();
          redraw();
        },
        show() {
          shown.textContent = words(slider.value);
          input.setAttribute("aria-valuetext", shown.textContent);
        },
      };
      input.addEventListener("input", slider.show);
      slider.show();
      return slider;
    },
    choice(label, names, start = 0) {
      const select = document.createElement("select");
      names.forEach((name, index) => select.add(new Option(name, index, index === start, index === start)));
      control(label, select, "change");
      return {
        get index() {
          return Number(select.value);
        },
        set(index) {
          select.value = index;
          redraw();
        },
        onChange(action) {
          select.addEventListener("change", action);
        },
      };
    },
    toggle(label, on = false) {
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: on });
      control(label, box, "change");
      return {
        get on() {
          return box.checked;
        },
      };
    },
    button(label, action) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
      for (const then of [action, redraw]) button.addEventListener("click", then);
      panel.append(button);
      return button;
    },
    // Steps that are played, taken one by one, or begun again.
    steps(label, count) {
      const slider = frame.slider(label, [...Array(count).keys()], 0, (k) => `${k + 1} of ${count}`);
      let timer = 0;
      const stop = () => {
        clearInterval(timer);
        timer = 0;
        play.textContent = "Play";
      };
      const next = () => {
        if (!root.isConnected || slider.index === count - 1) return stop();
        slider.set(slider.index + 1);
      };
      const play = frame.button("Play", () => {
        if (timer) return stop();
        if (slider.index === count - 1) slider.set(0);
        timer = setInterval(next, 700);
        play.textContent = "Pause";
      });
      frame.button("Step", () => {
        stop();
        next();
      });
      frame.button("Reset", () => {
        stop();
        slider.set(0);
      });
      return slider;
    },
    // Where the mouse or a finger is, in the canvas's own units.
    onPoint(action, events = ["pointerdown", "pointermove"]) {
      for (const event of events) {
        canvas.addEventListener(event, (happened) => {
          const box = canvas.getBoundingClientRect();
          const scale = parseFloat(canvas.style.width) / box.width; // a slide may be magnified
          action((happened.clientX - box.left) * scale, (happened.clientY - box.top) * scale);
          redraw();
        });
      }
    },
  };
  new ResizeObserver(redraw).observe(root);
  const themes = { attributes: true, attributeFilter: ["class", "data-theme", "theme", "data-jp-theme-light"] };
  for (const element of [document.documentElement, document.body])
    new MutationObserver(redraw).observe(element, themes);
  return frame;
}

// Colours that are told apart by everybody (Okabe and Ito, 2008), on the page's own background.
function coloursOf(root) {
  const ink = getComputedStyle(root).color;
  const [red, green, blue] = ink.match(/[\d.]+/g).map(Number);
  const dark = red + green + blue > 382; // light letters mean a dark page
  return {
    ink,
    faint: dark ? "rgba(255, 255, 255, 0.25)" : "rgba(0, 0, 0, 0.2)",
    paper: dark ? "#1f2329" : "#ffffff",
    first: dark ? "#56B4E9" : "#0072B2",
    second: dark ? "#E69F00" : "#D55E00",
    third: dark ? "#2bd4a0" : "#009E73",
    highlight: dark ? "#6b4e00" : "#FCE1B0",
  };
}

// Draw gray values 0 to 255, or RGB, as a picture of so many columns into a rectangle of the canvas.
function drawPixels(context, values, columns, x, y, width, height, channels = 1) {
  const rows = values.length / channels / columns;
  const image = new ImageData(columns, rows);
  for (let pixel = 0; pixel < rows * columns; pixel++) {
    for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = values[channels * pixel + (channels === 3 ? c : 0)];
    image.data[4 * pixel + 3] = 255;
  }
  const sheet = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
  sheet.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(sheet, x, y, width, height);
}

// What a coarse map of high x wide has at a pixel of rows x columns: a mixture of the four nearest entries.
function between(entry, [high, wide], [rows, columns], row, column) {
  const place = (at, many, few) => Math.min(few - 1, Math.max(0, ((at + 0.5) * few) / many - 0.5));
  const [y, x] = [place(row, rows, high), place(column, columns, wide)];
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const along = (i) => entry(i, left) * (1 - x + left) + entry(i, Math.min(wide - 1, left + 1)) * (x - left);
  return along(top) * (1 - y + top) + along(Math.min(high - 1, top + 1)) * (y - top);
}

function write(context, words, x, y, colour, { size = 13, align = "left", bold = false } = {}) {
  context.font = `${bold ? "bold " : ""}${size}px system-ui, sans-serif`;
  context.fillStyle = colour;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillText(words, x, y);
}

// Arrays come as bytes in base64 with shape and type; lists and numbers as they are.
function decode(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(decode);
  if (!("base64" in value)) return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, decode(one)]));
  const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
  const types = { uint8: Uint8Array, int8: Int8Array, float32: Float32Array };
  return { shape: value.shape, values: new types[value.type](bytes.buffer) };
}
