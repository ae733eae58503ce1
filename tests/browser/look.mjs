// Shows each page before and after in Chromium and says what differs:
//   look.mjs CHROMIUM PICTURES < [{"name", "before", "after", "text"}, ...]
// before and after are HTML; text stands in the stationery alone. One line of
// JSON for each: what moved, what changed its style, whether the stationery
// can be seen. Nothing is fetched: requests but for data: addresses fail.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";

const [browserPath, pictures] = process.argv.slice(2);
const cases = JSON.parse(readFileSync(0, "utf8"));
const WIDTH = 800;

// Runs in the page: every element outside the stationery, in order, with its
// place and what people see of it.
function survey(text) {
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
  let node = null;
  let box = null;
  while (text !== null && walker.nextNode()) {
    if (walker.currentNode.data.replace(/\s+/g, " ").includes(text)) {
      node = walker.currentNode;
    }
  }
  if (node !== null) {
    const range = document.createRange();
    range.selectNodeContents(node);
    const r = range.getBoundingClientRect();
    const style = getComputedStyle(node.parentElement);
    const at = document.elementFromPoint(
      Math.min(r.left + 2, innerWidth - 1),
      Math.min(r.top + r.height / 2, innerHeight - 1));
    box = {
      top: r.top, left: r.left, width: r.width, height: r.height,
      visible: style.visibility === "visible" && style.opacity !== "0",
      reached: at !== null && (at.contains(node) ||
        node.parentElement.contains(at)),
    };
  }
  const seen = [];
  for (const e of document.body.querySelectorAll("*")) {
    const r = e.getBoundingClientRect();
    const s = getComputedStyle(e);
    seen.push({
      tag: e.tagName,
      box: [r.left, r.top, r.width].map((x) => Math.round(x * 10) / 10),
      holds: node !== null && e.contains(node),
      height: Math.round(r.height * 10) / 10,
      style: [s.color, s.backgroundColor, s.fontFamily, s.fontSize,
        s.fontWeight, s.fontStyle, s.textDecorationLine, s.display,
        s.textAlign, s.lineHeight],
      text: e.children.length === 0 ? e.textContent : "",
    });
  }
  return { box, seen };
}

// The elements of the message must come in the same order; those that the
// stationery added in between are passed over.
function differences(before, after) {
  const found = [];
  let at = 0;
  for (const old of before) {
    while (at < after.length && (after[at].tag !== old.tag ||
        after[at].text !== old.text)) {
      at++;
    }
    if (at === after.length) {
      found.push(`${old.tag} is gone: ${old.text.slice(0, 40)}`);
      break;
    }
    const now = after[at++];
    if (JSON.stringify(old.box) !== JSON.stringify(now.box)) {
      found.push(`${old.tag} moved from ${old.box} to ${now.box}`);
    }
    if (!now.holds && old.height !== now.height) {
      found.push(`${old.tag} was ${old.height} high, is ${now.height}`);
    }
    if (JSON.stringify(old.style) !== JSON.stringify(now.style)) {
      found.push(`${old.tag} changed from ${old.style} to ${now.style}`);
    }
  }
  return found;
}

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"],
});
const context = await browser.newContext({
  viewport: { width: WIDTH, height: 4000 }, javaScriptEnabled: true,
  offline: true,
});
for (const one of cases) {
  const result = { name: one.name };
  const sides = {};
  for (const side of ["before", "after"]) {
    const page = await context.newPage();
    await page.setContent(one[side], { waitUntil: "load" });
    sides[side] = await page.evaluate(survey,
      side === "after" ? one.text : null);
    if (pictures) {
      const height = await page.evaluate(() => Math.ceil(Math.max(40,
        ...[...document.body.querySelectorAll("*")].map(
          (e) => e.getBoundingClientRect().bottom + 10))));
      await page.screenshot({
        path: `${pictures}/${one.name}-${side}.png`,
        clip: { x: 0, y: 0, width: WIDTH, height: Math.min(height, 1200) },
      });
    }
    await page.close();
  }
  result.stationery = sides.after.box;
  result.differences = differences(sides.before.seen, sides.after.seen);
  console.log(JSON.stringify(result));
}
await browser.close();
