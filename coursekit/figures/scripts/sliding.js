// A kernel slides over an image: one output after the other, with its products.
function figure(frame) {
  const { image, kernel, output, stride, padding, dilation } = frame.data;
  const [rows, columns] = image.shape;
  const [kernelRows, kernelColumns] = kernel.shape;
  const [outputRows, outputColumns] = output.shape;
  const position = frame.steps("position", output.values.length);
  const number = (value) => String(Number(value.toPrecision(4)));

  function pixel(row, column) {
    const inside = row >= 0 && column >= 0 && row < rows && column < columns;
    return inside ? image.values[row * columns + column] : 0;
  }

  function layout(width) {
    const across = columns + 2 * padding;
    const side = Math.min(44, (width - 41) / (across + outputColumns));
    return { side, high: rows + 2 * padding, gap: Math.min(60, width - 1 - side * (across + outputColumns)), across };
  }

  function cell(context, row, column, left, side, value, fill, ink, faint) {
    const [x, y] = [left + column * side, 26 + row * side];
    context.fillStyle = fill;
    context.fillRect(x, y, side, side);
    context.strokeStyle = faint;
    context.strokeRect(x, y, side, side);
    if (value !== null)
      write(context, number(value), x + side / 2, y + side / 2, ink, { align: "center", size: side / 2.6 });
  }

  function paint(context, width, height, colours) {
    const { side, high, gap, across } = layout(width);
    const top = Math.floor(position.value / outputColumns) * stride;
    const left = (position.value % outputColumns) * stride;
    const terms = [];
    write(context, padding ? "image (gray: padding)" : "image", 0, 10, colours.ink);
    for (let row = 0; row < high; row++) {
      for (let column = 0; column < across; column++) {
        const [m, n] = [(row - top) / dilation, (column - left) / dilation];
        const under = [m, n].every(Number.isInteger) && m >= 0 && n >= 0 && m < kernelRows && n < kernelColumns;
        const value = pixel(row - padding, column - padding);
        const rim = row < padding || column < padding || row >= rows + padding || column >= columns + padding;
        const fill = under ? colours.highlight : rim ? colours.faint : colours.paper;
        cell(context, row, column, 0, side, value, fill, colours.ink, colours.faint);
        if (!under) continue;
        const weight = kernel.values[m * kernelColumns + n];
        terms.push(`${number(weight)}·${number(value)}`);
        const corner = { size: Math.max(9, side / 4), align: "right" };
        write(context, `×${number(weight)}`, (column + 0.95) * side, 26 + (row + 0.84) * side, colours.second, corner);
      }
    }
    const beside = across * side + gap;
    write(context, "output", beside, 10, colours.ink);
    for (let index = 0; index < output.values.length; index++) {
      const [row, column] = [Math.floor(index / outputColumns), index % outputColumns];
      const fill = index === position.value ? colours.highlight : colours.paper;
      const value = index <= position.value ? output.values[index] : null;
      cell(context, row, column, beside, side, value, fill, colours.ink, colours.faint);
    }
    frame.say(`${terms.join(" + ")} = ${number(output.values[position.value])}`);
  }

  frame.draw((width) => {
    const { side, high } = layout(width);
    return 32 + side * Math.max(high, outputRows);
  }, paint);
}
