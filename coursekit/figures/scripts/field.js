// Point at an output: which pixels does it see? One row of circles per layer, the image at the bottom.
function figure(frame) {
  const { kernels, strides, dilations, depths, pooling, pixels, sizes } = frame.data;
  const kernel = frame.slider("kernel", kernels, 1);
  const stride = frame.slider("stride", strides, 0);
  const dilation = frame.slider("dilation", dilations, 0);
  const depth = frame.slider("layers", depths, 1);
  const padding = frame.toggle("padding");
  const pool = frame.toggle("pooling after each layer");
  let pointed = 0.5; // where the mouse is, as a share of the width
  frame.onPoint((x) => (pointed = x / frameWidth));
  const move = frame.slider(
    "output",
    Array.from({ length: 21 }, (_, k) => k / 20),
    10,
    (share) => `${Math.round(100 * share)} %`,
  );
  frame.panel.lastChild.addEventListener("input", () => (pointed = move.value));
  let frameWidth = 700;

  // The floors of the stack from the image up: each takes `k` inputs, `d` apart, every `s`-th place.
  function floors() {
    const list = [];
    const rim = padding.on ? (dilation.value * (kernel.value - 1)) / 2 : 0;
    for (let layer = 0; layer < depth.value; layer++) {
      list.push({ name: `layer ${layer + 1}`, k: kernel.value, s: stride.value, d: dilation.value, p: rim });
      if (pool.on) list.push({ name: "pooling", k: pooling, s: pooling, d: 1, p: 0 });
    }
    return list;
  }

  function sizesOf(list) {
    const found = [pixels];
    for (const { k, s, d, p } of list) found.push(Math.floor((found.at(-1) + 2 * p - d * (k - 1) - 1) / s) + 1);
    return found;
  }

  function paint(context, width, height, colours) {
    frameWidth = width;
    const list = floors();
    const counts = sizesOf(list);
    const empty = counts.findIndex((count) => count < 1);
    const known = empty < 0 ? list.length : empty - 1;
    const step = (height - 40) / Math.max(list.length, 1);
    const y = (level) => height - 20 - level * step;
    const jumps = [1];
    const begins = [0];
    list.forEach(({ s, p, k, d }, level) => {
      begins.push(begins[level] + ((d * (k - 1)) / 2 - p) * jumps[level]);
      jumps.push(jumps[level] * s);
    });
    const pitch = (width - 90) / pixels;
    const [large, small] = [Math.min(5, 0.6 * pitch), Math.min(3.5, 0.35 * pitch)]; // circles do not touch
    const x = (level, index) => 80 + pitch * (0.5 + begins[level] + index * jumps[level]);
    let seen = new Set();
    if (empty < 0) {
      const wanted = Math.round(((pointed * width - 80) / pitch - 0.5 - begins[known]) / jumps[known]);
      seen.add(Math.min(counts[known] - 1, Math.max(0, wanted)));
    }
    for (let level = known; level >= 0; level--) {
      write(context, level ? list[level - 1].name : "image", 0, y(level), colours.ink);
      const below = new Set();
      for (let index = 0; index < counts[level]; index++) {
        const on = seen.has(index);
        if (on && level) {
          const { k, s, d, p } = list[level - 1];
          for (let m = 0; m < k; m++) {
            const source = index * s - p + m * d;
            if (source < 0 || source >= counts[level - 1]) continue;
            below.add(source);
            context.strokeStyle = colours.faint;
            context.beginPath();
            context.moveTo(x(level, index), y(level));
            context.lineTo(x(level - 1, source), y(level - 1));
            context.stroke();
          }
        }
        context.fillStyle = on ? colours.second : colours.faint;
        context.beginPath();
        context.arc(x(level, index), y(level), on ? large : small, 0, 7);
        context.fill();
      }
      if (level) seen = below;
    }
    frame.say(describe(counts, empty, seen));
  }

  function describe(counts, empty, seen) {
    if (empty >= 0)
      return `Floor ${empty} has no output left: the image of ${pixels} pixels is too small. Use fewer layers, or padding.`;
    const key = [kernel.value, stride.value, dilation.value, depth.value, Number(pool.on)].join();
    const holes = Math.max(...seen) - Math.min(...seen) + 1 > seen.size ? ", with holes" : "";
    return `Receptive field: ${sizes[key]} pixels. This output sees ${seen.size} pixels of the image${holes}. Outputs in a row: ${counts.at(-1)}.`;
  }

  frame.draw(() => 60 + 62 * depth.value * (pool.on ? 1.5 : 1), paint);
}
