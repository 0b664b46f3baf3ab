// How large is the gradient in each layer, and what if blocks of a trained network are taken out?
function figure(frame) {
  const { designs, gains, norms, accuracies, chance } = frame.data;
  const design = frame.choice("design", designs);
  const gain = frame.slider("gain of the weights", gains, gains.indexOf(1), (value) => `× ${value}`);
  const blocks = Math.log2(accuracies.length);
  const boxes = Array.from({ length: blocks }, (_, k) => frame.toggle(`block ${k + 1}`, true));
  const layers = norms.shape[2];
  const logs = norms.values.map((norm) => Math.log10(Math.max(norm, 1e-30)));
  const floor = Math.max(-12, Math.min(...logs));
  const ceiling = Math.min(12, Math.max(...logs));
  let width = 700;
  frame.onPoint(
    (x, y) => {
      const index = Math.floor(((x - 60) / (width - 80)) * blocks);
      const inputs = frame.panel.querySelectorAll("input[type=checkbox]");
      if (y > 265 && inputs[index]) inputs[index].click();
    },
    ["pointerdown"],
  );

  function paintGradients(context, colours) {
    const [left, right, top, bottom] = [60, width - 20, 30, 200];
    const y = (log) => bottom - (bottom - top) * Math.min(1, Math.max(0, (log - floor) / (ceiling - floor)));
    write(context, "gradient in each layer (gray: other designs)", 0, 10, colours.ink, { bold: true });
    for (let power = Math.ceil(floor / 3) * 3; power <= ceiling; power += 3) {
      write(context, `1e${power}`, left - 8, y(power), colours.ink, { align: "right" });
      context.fillStyle = colours.faint;
      context.fillRect(left, y(power), right - left, 1);
    }
    designs.forEach((_, index) => {
      const chosen = index === design.index;
      context.strokeStyle = chosen ? colours.second : colours.faint;
      context.lineWidth = chosen ? 3 : 1.5;
      context.beginPath();
      for (let layer = 0; layer < layers; layer++) {
        const log = logs[(index * gains.length + gain.index) * layers + layer];
        context.lineTo(left + ((right - left) * layer) / (layers - 1), y(log));
      }
      context.stroke();
    });
    context.lineWidth = 1;
    write(context, "first layer", left, bottom + 18, colours.ink);
    write(context, "last layer", right, bottom + 18, colours.ink, { align: "right" });
  }

  function paintBlocks(context, colours) {
    const wide = (width - 80) / blocks;
    write(context, "a trained residual network: click a block", 0, 245, colours.ink, { bold: true });
    boxes.forEach((box, index) => {
      const x = 60 + index * wide;
      context.strokeStyle = colours.ink;
      context.beginPath(); // the shortcut
      context.moveTo(x, 290);
      context.bezierCurveTo(x + wide * 0.3, 258, x + wide * 0.7, 258, x + wide, 290);
      context.stroke();
      if (!box.on) return;
      context.beginPath();
      context.moveTo(x, 290);
      context.lineTo(x + wide, 290);
      context.stroke();
      context.fillStyle = colours.first;
      context.fillRect(x + wide * 0.2, 277, wide * 0.6, 26);
      write(context, String(index + 1), x + wide / 2, 290, colours.paper, { align: "center" });
    });
  }

  frame.draw(
    () => 320,
    (context, wide, _, colours) => {
      width = wide;
      paintGradients(context, colours);
      paintBlocks(context, colours);
      const kept = boxes.reduce((sum, box, index) => sum + (box.on ? 2 ** index : 0), 0);
      const start = (design.index * gains.length + gain.index) * layers;
      const count = boxes.filter((box) => box.on).length;
      const [right, guess] = [accuracies[kept], chance].map((share) => `${Math.round(100 * share)} %`);
      const ratio = norms.values[start] / norms.values[start + layers - 1];
      frame.say(
        `${designs[design.index]}: the first layer's gradient is ${ratio.toPrecision(2)} times the last layer's. ` +
          `Accuracy with ${count} of ${blocks} blocks: ${right} (chance: ${guess}).`,
      );
    },
  );
}
