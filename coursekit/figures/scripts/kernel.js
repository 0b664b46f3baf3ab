// Edit the nine numbers of a kernel and watch what it finds in a photo.
function figure(frame) {
  const { photo, presets } = frame.data;
  const [rows, columns] = photo.shape;
  const names = Object.keys(presets);
  const preset = frame.choice("kernel", [...names, "my own"]);
  const grid = document.createElement("div");
  grid.className = "grid";
  const fields = Array.from({ length: 9 }, (_, index) => {
    const field = Object.assign(document.createElement("input"), { type: "number", step: "any" });
    field.setAttribute("aria-label", `row ${Math.floor(index / 3) + 1}, column ${(index % 3) + 1}`);
    field.addEventListener("input", () => preset.set(names.length));
    grid.append(field);
    return field;
  });
  frame.panel.append(grid);
  const flip = frame.toggle("flip it (convolution)");

  function fill() {
    const numbers = presets[names[preset.index]]?.values;
    if (numbers) fields.forEach((field, index) => (field.value = Number(numbers[index].toFixed(3))));
  }
  preset.onChange(fill);
  fill();

  function kernel() {
    const numbers =
      preset.index < names.length
        ? [...presets[names[preset.index]].values]
        : fields.map((field) => Number(field.value));
    return flip.on ? numbers.reverse() : numbers;
  }

  function correlate(weights) {
    const result = new Float32Array((rows - 2) * (columns - 2));
    for (let row = 0; row < rows - 2; row++) {
      for (let column = 0; column < columns - 2; column++) {
        let sum = 0;
        for (let k = 0; k < 9; k++) {
          sum += (weights[k] * photo.values[(row + Math.floor(k / 3)) * columns + column + (k % 3)]) / 255;
        }
        result[row * (columns - 2) + column] = sum;
      }
    }
    return result;
  }

  function paint(context, width, height, colours) {
    const weights = kernel();
    const response = correlate(weights);
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const least = response.reduce((a, b) => Math.min(a, b));
    const greatest = response.reduce((a, b) => Math.max(a, b));
    const around = Math.abs(sum) < 1e-3; // a kernel that sums to zero: gray is zero
    const reach = Math.max(-least, greatest, 1e-6);
    const shown = Uint8ClampedArray.from(response, (value) => 255 * (around ? 0.5 + value / (2 * reach) : value));
    const side = (width - 12) / 2;
    write(context, "photo", 0, 10, colours.ink);
    drawPixels(context, photo.values, columns, 0, 24, side, side);
    write(context, around ? "response (gray: zero)" : "response", side + 12, 10, colours.ink);
    drawPixels(context, shown, columns - 2, side + 12, 24, side, side);
    const meaning = around
      ? "It does not see brightness, only differences."
      : `A flat region becomes ${sum.toFixed(2)} times as bright.`;
    frame.say(
      `The nine numbers add up to ${sum.toFixed(2)}. ${meaning} Responses from ${least.toFixed(2)} to ${greatest.toFixed(2)}.`,
    );
  }

  frame.draw((width) => 24 + ((width - 12) / 2) * (rows / columns), paint);
}
