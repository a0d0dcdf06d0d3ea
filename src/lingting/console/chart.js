// A chart of the last day: bars or lines over a time axis, as SVG; its colours are those of the page.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 132;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 10;
const NARROW = 560;

/**
 * Draws into an svg element.
 *
 * `points` are objects with `start`, Unix seconds, each `step` seconds long; the axis ends with the last one and shows
 * `span` seconds. `series` are { kind: "bar" | "line", name, value(point) }, bars stacked in their order, lines broken
 * where a value is null. `format(value)` writes a number of the axis, `told(point)` what stands at a point.
 */
export function chart(svg, { points, step, span, series, format, told }) {
  const width = Math.max(svg.clientWidth, 280);
  const end = points.at(-1).start + step;
  const begin = end - span;
  const inner = { width: width - LEFT - 4, height: HEIGHT - TOP - BOTTOM };
  const bars = series.filter(({ kind }) => kind === "bar");
  const lines = series.filter(({ kind }) => kind === "line");
  const sums = points.map((point) => bars.reduce((sum, { value }) => sum + value(point), 0));
  const tops = lines.flatMap(({ value }) => points.map((point) => value(point) ?? 0));
  const most = ceiling(Math.max(...sums, ...tops, 0));
  const x = (at) => LEFT + ((at - begin) / span) * inner.width;
  const y = (value) => TOP + inner.height * (1 - value / most);
  const parts = [];
  for (const value of [0, most]) {
    parts.push(make("line", { class: "grid", x1: LEFT, x2: LEFT + inner.width, y1: y(value), y2: y(value) }));
    parts.push(make("text", { class: "axis", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)));
  }
  for (const at of hours(begin, end, width < NARROW ? 6 : 3)) {
    parts.push(make("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP, y2: TOP + inner.height }));
    const text = new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    parts.push(make("text", { class: "axis", x: x(at), y: HEIGHT - 4, "text-anchor": "middle" }, text));
  }
  const bar = Math.max(1, (inner.width * step) / span - 1);
  for (const point of points) {
    let below = 0;
    for (const { name, value } of bars) {
      const size = value(point);
      const shape = { class: name, x: x(point.start), width: bar, y: y(below + size), height: y(below) - y(below + size) };
      if (size > 0) parts.push(make("rect", shape));
      below += size;
    }
  }
  for (const { name, value } of lines) {
    let path = "";
    let pen = "M";
    for (const point of points) {
      const height = value(point);
      if (height === null) pen = "M";
      else {
        const middle = x(point.start + step / 2);
        path += `${pen}${middle.toFixed(1)} ${y(height).toFixed(1)}${pen === "M" ? "h.1" : ""}`;
        pen = "L";
      }
    }
    parts.push(make("path", { class: name, d: path }));
  }
  for (const point of points) {
    const area = make("rect", { class: "hover", x: x(point.start), width: bar + 1, y: TOP, height: inner.height });
    const time = new Date(point.start * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    area.append(make("title", {}, `${time}  ${told(point)}`));
    parts.push(area);
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", HEIGHT);
  svg.replaceChildren(...parts);
}

function make(kind, attributes, text = "") {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/** The least round number that is not below a value. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((each) => each * power).find((each) => each >= value * 0.999);
}

/** Full hours of the local clock within a span, every so many, as Unix seconds. */
function hours(begin, end, every) {
  const first = new Date(begin * 1000);
  first.setMinutes(0, 0, 0);
  const found = [];
  for (let at = first; at / 1000 < end; at = new Date(at.getTime() + 3600_000)) {
    if (at / 1000 >= begin && at.getHours() % every === 0) found.push(at / 1000);
  }
  return found;
}
