// From noise to pictures: each step of a diffusion model, and what it believes the clean picture to be.
// Arrays: images [strengths, steps, 2 (noisy, guess), pictures, rows * columns], certainty [strengths, steps, pictures].
function figure(frame) {
  const { images, certainty, wanted, times, strengths, columns } = frame.data;
  const [, steps, , count, pixels] = images.shape;
  const strength = frame.choice("guidance", strengths.map(String), 1);
  const step = frame.steps("step", steps);
  const rows = pixels / columns;

  const sure = (picture) => certainty.values[(strength.index * steps + step.index) * count + picture];

  function paintRow(context, kind, top, side) {
    for (let picture = 0; picture < count; picture++) {
      const start = (((strength.index * steps + step.index) * 2 + kind) * count + picture) * pixels;
      const values = images.values.subarray(start, start + pixels);
      drawPixels(context, values, columns, picture * (side + 4), top, side, (side * rows) / columns);
    }
  }

  const sideOf = (width) => (width - 4 * (count - 1)) / count;

  frame.draw(
    (width) => 2 * (26 + (sideOf(width) * rows) / columns) + 48,
    (context, width, _, colours) => {
      const side = sideOf(width);
      const tall = (side * rows) / columns;
      const bars = 2 * (26 + tall);
      write(context, `the picture at t = ${times[step.index]}`, 0, 12, colours.ink, { bold: true });
      paintRow(context, 0, 26, side);
      write(context, "the network's guess of the clean picture", 0, 38 + tall, colours.ink, { bold: true });
      paintRow(context, 1, 52 + tall, side);
      for (let picture = 0; picture < count; picture++) {
        const left = picture * (side + 4);
        context.fillStyle = colours.faint;
        context.fillRect(left, bars + 8, side, 8);
        context.fillStyle = colours.first;
        context.fillRect(left, bars + 8, side * sure(picture), 8);
        write(context, wanted[picture], left + side / 2, bars + 30, colours.ink, { align: "center" });
      }
      let right = 0;
      for (let picture = 0; picture < count; picture++) right += sure(picture) > 0.5;
      frame.say(
        `Guidance ${strengths[strength.index]}, t = ${times[step.index]}: the classifier gives the wanted class ` +
          `a probability of more than one half in ${right} of ${count} guesses (bars).`,
      );
    },
  );
}
