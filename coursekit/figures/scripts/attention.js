// Where do two networks look? Grad-CAM over a photo, for a layer and a class of one's choice.
function figure(frame) {
  const { photos, titles, networks, layers, classes, heat, scores } = frame.data;
  const [count, rows, columns] = photos.shape;
  const [high, wide] = heat.shape.slice(-2);
  const photo = frame.choice("photo", titles);
  const layer = frame.choice("layer", layers, layers.length - 1);
  const wanted = frame.choice("class", classes);
  const strength = frame.slider("heat", [0, 0.25, 0.5, 0.75], 2, (share) => `${100 * share} %`);

  // Black, purple, orange, yellow: brightness alone tells the order.
  function heatColour(level) {
    const stops = [
      [0, 0, 4],
      [87, 16, 110],
      [188, 55, 84],
      [249, 142, 9],
      [252, 255, 164],
    ];
    const place = (level / 255) * (stops.length - 1);
    const below = Math.min(stops.length - 2, Math.floor(place));
    return stops[below].map((from, c) => from + (place - below) * (stops[below + 1][c] - from));
  }

  function blend(network) {
    const start =
      (((network * count + photo.index) * layers.length + layer.index) * classes.length + wanted.index) * high * wide;
    const level = (i, j) => heat.values[start + i * wide + j];
    const pixels = new Uint8ClampedArray(rows * columns * 3);
    for (let pixel = 0; pixel < rows * columns; pixel++) {
      const from = 3 * (photo.index * rows * columns + pixel);
      const [red, green, blue] = photos.values.subarray(from, from + 3);
      const gray = 0.299 * red + 0.587 * green + 0.114 * blue;
      const [row, column] = [Math.floor(pixel / columns), pixel % columns];
      const colour = heatColour(between(level, [high, wide], [rows, columns], row, column));
      const share = strength.value;
      const base = share ? [gray, gray, gray] : [red, green, blue];
      for (let c = 0; c < 3; c++) pixels[3 * pixel + c] = (1 - share) * base[c] + share * colour[c];
    }
    return pixels;
  }

  const score = (network) => scores.values[(network * count + photo.index) * classes.length + wanted.index];

  frame.draw(
    (width) => 28 + ((width - 16) / networks.length) * (rows / columns),
    (context, width, height, colours) => {
      const side = (width - 16) / networks.length;
      networks.forEach((name, network) => {
        const left = network * (side + 16);
        write(context, name, left, 12, colours.ink, { bold: true });
        context.imageSmoothingEnabled = true;
        drawPixels(context, blend(network), columns, left, 28, side, side * (rows / columns), 3);
      });
      const said = networks.map((name, network) => `${name} ${Math.round(100 * score(network))} %`);
      frame.say(`Probability of "${classes[wanted.index]}": ${said.join(", ")}.`);
    },
  );
}
