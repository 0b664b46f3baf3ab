// How sure can one be of an accuracy? And what does a learning rate do to training?
function figure(frame) {
  const { accuracies, counts, low, high, rates, losses } = frame.data;
  const accuracy = frame.slider(
    "accuracy",
    accuracies,
    Math.floor(accuracies.length * 0.8),
    (share) => `${Math.round(100 * share)} %`,
  );
  const count = frame.slider("test images", counts, Math.floor(counts.length / 2));
  const rate = frame.slider("learning rate", rates, Math.floor(rates.length / 2), (value) => value.toPrecision(1));
  const perCent = (share) => `${(100 * share).toFixed(1)} %`;
  const steps = losses.shape[1];
  const top = Math.min(5, Math.max(...losses.values.filter(Number.isFinite)));

  function interval(index) {
    const place = accuracy.index * counts.length + index;
    return [low.values[place], high.values[place]];
  }

  function paintIntervals(context, width, colours) {
    const [left, right] = [110, width - 20];
    const x = (share) => left + (right - left) * share;
    write(context, "95 % interval of the accuracy", 0, 10, colours.ink, { bold: true });
    counts.forEach((images, index) => {
      const y = 34 + 20 * index;
      const chosen = index === count.index;
      const [from, to] = interval(index);
      write(context, `${images} images`, left - 8, y, colours.ink, { align: "right", bold: chosen });
      context.fillStyle = chosen ? colours.second : colours.faint;
      context.fillRect(x(from), y - 5, Math.max(2, x(to) - x(from)), 10);
    });
    const bottom = 34 + 20 * counts.length;
    for (const share of [0, 0.25, 0.5, 0.75, 1])
      write(context, `${100 * share} %`, x(share), bottom, colours.ink, { align: "center" });
    context.strokeStyle = colours.ink;
    context.beginPath();
    context.moveTo(x(accuracy.value), 24);
    context.lineTo(x(accuracy.value), bottom - 10);
    context.stroke();
    return bottom + 30;
  }

  function paintLosses(context, width, height, from, colours) {
    const [left, right, bottom] = [110, width - 20, height - 40];
    write(context, "training loss (gray: other rates)", 0, from, colours.ink, { bold: true });
    const y = (loss) => bottom - (bottom - from - 20) * Math.min(1, loss / top);
    for (const loss of [0, top / 2, top])
      write(context, loss.toFixed(1), left - 8, y(loss), colours.ink, { align: "right" });
    write(context, `step 1 to ${steps}`, (left + right) / 2, height - 18, colours.ink, { align: "center" });
    const draw = (index, chosen) => {
      context.strokeStyle = chosen ? colours.second : colours.faint;
      context.lineWidth = chosen ? 3 : 1.5;
      context.beginPath();
      for (let step = 0; step < steps; step++) {
        const loss = losses.values[index * steps + step];
        if (!Number.isFinite(loss)) break;
        context.lineTo(left + ((right - left) * step) / (steps - 1), y(loss));
      }
      context.stroke();
      context.lineWidth = 1;
    };
    rates.forEach((_, index) => draw(index, false));
    draw(rate.index, true);
  }

  frame.draw(
    () => 34 + 20 * counts.length + 260,
    (context, width, height, colours) => {
      const from = paintIntervals(context, width, colours);
      paintLosses(context, width, height, from, colours);
      const [least, most] = interval(count.index);
      const last = losses.values[rate.index * steps + steps - 1];
      const end = Number.isFinite(last)
        ? `ends at a loss of ${last.toFixed(2)}`
        : "does not end: the loss is no longer a number";
      frame.say(
        `${perCent(accuracy.value)} of ${count.value} images: the true accuracy lies between ${perCent(least)} and ${perCent(most)}. ` +
          `At a learning rate of ${rate.value.toPrecision(1)}, training ${end}.`,
      );
    },
  );
}
