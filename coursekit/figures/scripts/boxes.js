// Two thresholds decide what a detector says. `images` [S,H,W,3] are scenes with `truth` rows (scene, label, box); `found`
// are rows (detector, scene, label, score, box) from before non-maximum suppression.
function figure(frame) {
  const { images, truth, found, detectors, classes } = frame.data;
  const [scenes, height, width] = images.shape;
  const shares = Array.from({ length: 19 }, (_, k) => (k + 1) / 20);
  const percent = (share) => share.toFixed(2);
  const detector = frame.choice("detector", detectors);
  const scene = frame.choice(
    "scene",
    Array.from({ length: scenes }, (_, k) => `scene ${k + 1}`),
  );
  const overlap = frame.slider("NMS above IoU", shares, 9, percent);
  const least = frame.slider("least score", shares, 9, percent);

  const rows = (table) =>
    Array.from({ length: table.shape[0] }, (_, k) =>
      Array.from(table.values.slice(k * table.shape[1], (k + 1) * table.shape[1])),
    );
  const animals = rows(truth).map(([where, label, ...box]) => ({ scene: where, label, box }));
  const boxes = rows(found)
    .map(([by, where, label, score, ...box]) => ({ by, scene: where, label, score, box }))
    .sort((a, b) => b.score - a.score);

  const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
  function iou(a, b) {
    const across = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
    const both = across * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
    return both / (area(a) + area(b) - both);
  }

  // What the detector says with these thresholds, the best score first; `hit` is the animal that a box finds.
  function answer(by, threshold, most) {
    const kept = [];
    for (const box of boxes) {
      if (box.by !== by || box.score < threshold) continue;
      const rival = (other) => other.scene === box.scene && other.label === box.label && iou(other.box, box.box) > most;
      if (!kept.some(rival)) kept.push({ ...box });
    }
    const taken = new Set();
    for (const box of kept) {
      const free = animals.filter((one) => one.scene === box.scene && one.label === box.label && !taken.has(one));
      const best = free.sort((a, b) => iou(b.box, box.box) - iou(a.box, box.box))[0];
      box.hit = best && iou(best.box, box.box) >= 0.5 ? best : null;
      taken.add(box.hit);
    }
    return kept;
  }

  const score = (kept) => {
    const right = kept.filter((box) => box.hit).length;
    return { right, precision: kept.length ? right / kept.length : 1, recall: right / animals.length };
  };

  // Where a label may stand: at an edge of its box, else near it in the picture, but on no other label.
  function place([x0, y0, x1, y1], long, side, taken) {
    const rows = Array.from({ length: Math.floor((side - 16) / 4) }, (_, k) => 4 * k);
    rows.sort((a, b) => Math.abs(a - y0) - Math.abs(b - y0));
    const edges = [y0 - 16, y0, y1, y1 - 16].filter((y) => y >= 0 && y <= side - 16);
    const places = [...edges, ...rows].flatMap((y) => [x0, x1 - long].map((x) => [Math.min(x, side - long), y]));
    const free = ([x, y]) => taken.every(([l, t, r, b]) => x >= r || x + long <= l || y >= b || y + 16 <= t);
    return places.find(free);
  }

  function paintScene(context, side, colours, kept) {
    const pixels = images.values.subarray(scene.index * height * width * 3, (scene.index + 1) * height * width * 3);
    drawPixels(context, pixels, width, 0, 0, side, side, 3);
    const scale = side / width;
    const rectangle = ([x0, y0, x1, y1], colour, dash) => {
      for (const [ink, line] of [
        ["black", 4],
        [colour, 2],
      ]) {
        context.strokeStyle = ink;
        context.lineWidth = line;
        context.setLineDash(dash);
        context.strokeRect(x0 * scale, y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale);
      }
      context.setLineDash([]);
    };
    const here = (one) => one.scene === scene.index;
    for (const animal of animals.filter(here)) rectangle(animal.box, "white", [5, 4]);
    const colour = (box) => (box.hit ? "#56B4E9" : "#E69F00");
    for (const box of kept.filter(here).reverse()) rectangle(box.box, colour(box), []);
    context.font = "12px system-ui, sans-serif";
    const taken = [];
    for (const box of kept.filter(here)) {
      const words = `${classes[box.label]} ${box.score.toFixed(2)}`;
      const long = context.measureText(words).width + 4;
      const corners = box.box.map((one) => one * scale);
      const spot = place(corners, long, side, taken);
      if (!spot) continue; // among very many boxes only the best ones have room for a label
      const [x, y] = spot;
      taken.push([x, y, x + long, y + 16]);
      context.fillStyle = "rgba(0, 0, 0, 0.7)";
      context.fillRect(x, y, long, 16);
      write(context, words, x + 2, y + 8, colour(box), { size: 12 });
    }
  }

  function paintCurve(context, left, side, colours, now) {
    const x = (recall) => left + 44 + (side - 60) * recall;
    const y = (precision) => 24 + (side - 70) * (1 - precision);
    write(context, "precision against recall, all scenes", left + 44, 10, colours.ink, { bold: true });
    context.strokeStyle = colours.ink;
    context.lineWidth = 1;
    context.strokeRect(x(0), y(1), x(1) - x(0), y(0) - y(1));
    for (const share of [0, 0.5, 1]) {
      write(context, share.toFixed(1), x(0) - 6, y(share), colours.ink, { align: "right" });
      write(context, share.toFixed(1), x(share), y(0) + 14, colours.ink, { align: "center" });
    }
    write(context, "recall", x(0.5), y(0) + 32, colours.ink, { align: "center" });
    context.strokeStyle = colours.first;
    context.lineWidth = 2;
    context.beginPath();
    for (const threshold of shares) {
      const { precision, recall } = score(answer(detector.index, threshold, overlap.value));
      context.lineTo(x(recall), y(precision));
    }
    context.stroke();
    context.fillStyle = colours.second;
    context.beginPath();
    context.arc(x(now.recall), y(now.precision), 6, 0, 2 * Math.PI);
    context.fill();
  }

  const beside = (wide) => wide >= 520;
  frame.draw(
    (wide) => (beside(wide) ? wide / 2 : 2 * wide + 12),
    (context, wide, tall, colours) => {
      const side = beside(wide) ? wide / 2 - 6 : wide;
      const kept = answer(detector.index, least.value, overlap.value);
      const now = score(kept);
      paintScene(context, side, colours, kept);
      context.save();
      if (!beside(wide)) context.translate(-wide - 12, wide + 12);
      paintCurve(context, side + 12, side, colours, now);
      context.restore();
      frame.say(
        `In all ${scenes} scenes ${detectors[detector.index]} gives ${kept.length} boxes, ${now.right} of them right: ` +
          `precision ${percent(now.precision)}. It finds ${now.right} of ${animals.length} animals: recall ${percent(now.recall)}. ` +
          `Dashed boxes are true, blue ones right, orange ones wrong.`,
      );
    },
  );
}
