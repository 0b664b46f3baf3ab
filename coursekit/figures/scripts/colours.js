// From brown to bold: how the probabilities of colours become one colour, by temperature and a boost for rare ones.
function figure(frame) {
  const { lightness, logits, scale, centres, truth, temperatures, boosts, weights, colourfulness, own } = frame.data;
  const [rows, columns] = lightness.shape;
  const [classes, high, wide] = logits.shape;
  const temperature = frame.slider("temperature", temperatures, Math.floor(temperatures.length / 2), (value) =>
    value.toFixed(2),
  );
  const boost = frame.slider("boost for rare colours", boosts, boosts.indexOf(0));

  // The mean of the classes' colours, weighted by softmax((logits + boost log w) / temperature), at each place.
  function chroma(warmth, boosted) {
    const found = new Float32Array(2 * high * wide);
    const shares = new Float32Array(classes);
    const score = (k, place) => scale * logits.values[k * high * wide + place] + boosted * weights.values[k];
    for (let place = 0; place < high * wide; place++) {
      let most = -Infinity;
      for (let k = 0; k < classes; k++) most = Math.max(most, score(k, place));
      let sum = 0;
      for (let k = 0; k < classes; k++) {
        shares[k] = Math.exp((score(k, place) - most) / warmth);
        sum += shares[k];
      }
      for (let k = 0; k < classes; k++) {
        found[2 * place] += (shares[k] / sum) * centres.values[2 * k];
        found[2 * place + 1] += (shares[k] / sum) * centres.values[2 * k + 1];
      }
    }
    return found;
  }

  // CIELAB (D65) to sRGB, 0 to 255.
  function rgb(L, a, b) {
    const fy = (L + 16) / 116;
    const inverse = (t) => (t > 6 / 29 ? t ** 3 : 3 * (6 / 29) ** 2 * (t - 4 / 29));
    const [x, y, z] = [0.95047 * inverse(fy + a / 500), inverse(fy), 1.08883 * inverse(fy - b / 200)];
    const linear = [
      3.2404542 * x - 1.5371385 * y - 0.4985314 * z,
      -0.969266 * x + 1.8760108 * y + 0.041556 * z,
      0.0556434 * x - 0.2040259 * y + 1.0572252 * z,
    ];
    return linear.map((v) => 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
  }

  function picture(values) {
    const of = (c) => (i, j) => values[2 * (i * wide + j) + c];
    const pixels = new Uint8ClampedArray(3 * rows * columns);
    for (let pixel = 0; pixel < rows * columns; pixel++) {
      const [row, column] = [Math.floor(pixel / columns), pixel % columns];
      const at = (c) => between(of(c), [high, wide], [rows, columns], row, column);
      const [a, b] = values ? [at(0), at(1)] : [0, 0];
      pixels.set(rgb(lightness.values[pixel], a, b), 3 * pixel);
    }
    return pixels;
  }

  frame.draw(
    (width) => 28 + ((width - 24) / 3) * (rows / columns),
    (context, width, height, colours) => {
      const side = (width - 24) / 3;
      const shown = {
        "gray (input)": picture(null),
        predicted: picture(chroma(temperature.value, boost.value)),
        "true colours": truth.values,
      };
      context.imageSmoothingEnabled = true;
      Object.entries(shown).forEach(([title, pixels], index) => {
        write(context, title, index * (side + 12), 12, colours.ink, { bold: true });
        drawPixels(context, pixels, columns, index * (side + 12), 28, side, side * (rows / columns), 3);
      });
      const now = colourfulness[temperature.index][boost.index].toFixed(0);
      frame.say(
        `Temperature ${temperature.value.toFixed(2)}: colourfulness ${now}; the photo's own is ${own.toFixed(0)}.`,
      );
    },
  );
}
