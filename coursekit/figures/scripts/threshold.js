// Where to cut? Probabilities become a mask at a threshold, which may be moved sideways; four measures answer.
function figure(frame) {
  const { titles, photos, probabilities, truths } = frame.data;
  const [, rows, columns] = truths.shape;
  const size = rows * columns;
  const picture = frame.choice("picture", titles);
  const threshold = frame.slider(
    "threshold",
    Array.from({ length: 49 }, (_, k) => (k + 1) / 50),
    24,
    (share) => `${Math.round(100 * share)} %`,
  );
  const shift = frame.slider(
    "moved to the right",
    Array.from({ length: 17 }, (_, k) => k - 8),
    8,
    (pixels) => `${pixels} px`,
  );
  const names = ["pixel accuracy", "recall", "IoU", "Dice"];

  // Is this pixel claimed? What is moved in from outside is not.
  function claimed(row, column) {
    const from = column - shift.value;
    if (from < 0 || from >= columns) return false;
    return probabilities.values[picture.index * size + row * columns + from] > 255 * threshold.value;
  }

  function count() {
    const found = { tp: 0, fp: 0, fn: 0, tn: 0, pixels: new Uint8ClampedArray(3 * size) };
    // Found, missed, false alarms: green, blue and orange over the picture in gray.
    const tints = { tp: [0, 158, 115], fn: [0, 114, 178], fp: [230, 120, 0] };
    for (let pixel = 0; pixel < size; pixel++) {
      const mine = claimed(Math.floor(pixel / columns), pixel % columns);
      const real = truths.values[picture.index * size + pixel] > 0;
      const kind = mine ? (real ? "tp" : "fp") : real ? "fn" : "tn";
      found[kind]++;
      const start = 3 * (picture.index * size + pixel);
      const [red, green, blue] = photos.values.subarray(start, start + 3);
      const gray = 0.299 * red + 0.587 * green + 0.114 * blue;
      const base = kind === "tn" ? [red, green, blue] : [gray, gray, gray];
      const share = kind === "tn" ? 0 : 0.65;
      for (let c = 0; c < 3; c++)
        found.pixels[3 * pixel + c] = (1 - share) * base[c] + share * (kind === "tn" ? 0 : tints[kind][c]);
    }
    return found;
  }

  function measure({ tp, fp, fn, tn }) {
    return [(tp + tn) / size, tp / (tp + fn), tp / (tp + fp + fn), (2 * tp) / (2 * tp + fp + fn)];
  }

  // As high as the picture, and high enough for four bars; the legend stands below.
  frame.draw(
    (width) => Math.max(180, Math.min(320, width * 0.46) * (rows / columns)) + 28,
    (context, width, height, colours) => {
      const side = Math.min(320, width * 0.46);
      const found = count();
      const values = measure(found);
      drawPixels(context, found.pixels, columns, 0, 0, side, side * (rows / columns), 3);
      const left = side + 20;
      const room = width - left - 8;
      values.forEach((value, index) => {
        const y = 24 + 46 * index;
        write(context, names[index], left, y - 12, colours.ink);
        write(context, `${(100 * value).toFixed(1)} %`, width - 8, y - 12, colours.ink, { align: "right", bold: true });
        context.fillStyle = colours.faint;
        context.fillRect(left, y, room, 10);
        context.fillStyle = colours.ink;
        context.fillRect(left, y, room * value, 10);
      });
      const legend = "green: found, blue: missed, orange: false alarm";
      write(context, legend, 0, height - 12, colours.ink, { size: 12 });
      const said = values.map((value, index) => `${names[index]} ${(100 * value).toFixed(1)} %`).join(", ");
      frame.say(
        `Cut at ${Math.round(100 * threshold.value)} %, moved by ${shift.value}: ${found.tp} pixels found, ` +
          `${found.fn} missed, ${found.fp} false alarms; ${said}.`,
      );
    },
  );
}
