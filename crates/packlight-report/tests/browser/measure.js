// Measures the page as it is laid out now, and returns what is wrong with it, a sentence each.
(() => {
  const wrong = [];
  const shown = (box) => box.width > 0 && box.height > 0;
  const inner = (box) => {
    // Boxes of text are as high as lines; letters fill the middle.
    const cut = box.height > box.width * 1.5 ? 0 : box.height * 0.2;
    const side = box.height > box.width * 1.5 ? box.width * 0.2 : 0;
    return { left: box.left + side, right: box.right - side, top: box.top + cut, bottom: box.bottom - cut };
  };
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    wrong.push(`the document is ${root.scrollWidth} px wide on ${root.clientWidth} px`);
  }

  for (const svg of document.querySelectorAll("svg.packlight-figure")) {
    const sheet = svg.getBoundingClientRect();
    if (!shown(sheet)) continue;
    const name = svg.closest("figure")?.id ?? "a figure";
    const scale = sheet.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll("text")]
      .map((text) => ({ text, said: text.textContent, box: text.getBoundingClientRect() }))
      .filter(({ box }) => shown(box));
    for (const { text, said, box } of texts) {
      const size = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (size < 9) wrong.push(`${name}: "${said}" is ${size.toFixed(1)} px high`);
      const cut = box.left < sheet.left - 1 || box.right > sheet.right + 1
        || box.top < sheet.top - 1 || box.bottom > sheet.bottom + 1;
      if (cut) wrong.push(`${name}: "${said}" is cut off`);
    }
    // By their left ends, so that only neighbours are compared.
    texts.sort((a, b) => a.box.left - b.box.left);
    texts.forEach((a, i) => {
      const own = inner(a.box);
      for (let j = i + 1; j < texts.length && texts[j].box.left < a.box.right; j++) {
        const other = inner(texts[j].box);
        const across = Math.min(own.right, other.right) - Math.max(own.left, other.left);
        const down = Math.min(own.bottom, other.bottom) - Math.max(own.top, other.top);
        if (across > 1 && down > 1) wrong.push(`${name}: "${a.said}" overlaps "${texts[j].said}"`);
      }
    });
  }

  for (const region of document.querySelectorAll(".wide")) {
    if (!shown(region.getBoundingClientRect())) continue;
    const name = region.getAttribute("aria-label");
    const hidden = region.scrollWidth - region.clientWidth;
    const room = root.clientWidth - region.getBoundingClientRect().width;
    if (hidden > 1 && matchMedia("print").matches) wrong.push(`${name}: ${hidden} px are not printed`);
    if (hidden > 1 && room > 120) wrong.push(`${name}: ${hidden} px are hidden where there is room for ${room}`);
    for (const cell of region.querySelectorAll("th, td")) {
      if (cell.scrollWidth > cell.clientWidth + 1) {
        wrong.push(`${name}: "${cell.textContent}" is wider than its cell`);
      }
    }
  }

  for (const region of document.querySelectorAll(".wide, .drawing")) {
    if (region.tabIndex !== 0 || !region.getAttribute("aria-label")) {
      wrong.push(`a region that scrolls cannot be reached by keyboard, or has no name`);
    }
  }
  return wrong;
})()
