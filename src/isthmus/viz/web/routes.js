// Where lines run between cards: pure geometry from rectangles.

export const ports = new Map();

const r = (value) => Math.round(value * 10) / 10;

// From card to card within a cluster.
export function local(a, b) {
  const [ya, yb] = [a.top + a.height / 2, b.top + b.height / 2];
  if (b.left >= a.right) {
    const bend = Math.max(18, (b.left - a.right) / 2);
    return curve(a.right, ya, a.right + bend, ya, b.left - bend, yb, b.left, yb);
  }
  if (b.right <= a.left) {
    const bend = Math.max(18, (a.left - b.right) / 2);
    return curve(a.left, ya, a.left - bend, ya, b.right + bend, yb, b.right, yb);
  }
  const out = 16 + Math.min(Math.abs(ya - yb) / 8, 26);
  return curve(a.right, ya, a.right + out, ya, b.right + out, yb, b.right, yb);
}

// From a card down to where its cluster's calls leave, or up from the gateway to a card.
export function leave(a, port) {
  const y = a.top + a.height / 2;
  return curve(a.left, y, a.left - 16, y, port.x, Math.min(y + 40, port.y), port.x, port.y);
}
export function enter(port, b) {
  const y = b.top + b.height / 2;
  return curve(port.x, port.y, port.x, Math.min(y + 40, port.y), b.right + 16, y, b.right, y);
}

// Below the clusters, from one to the other, as deep as its lane.
export function crossing(from, to, drop) {
  return curve(from.x, from.y, from.x, from.y + drop, to.x, to.y + drop, to.x, to.y);
}
export const middle = (from, to, drop) => ({ x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 + drop * 0.75 });

function curve(...points) {
  const [x, y, ...rest] = points.map(r);
  return `M${x} ${y}C${rest.join(" ")}`;
}

// Labels side by side share a lane; deterministic by the order that they come in.
export function lanes(spans) {
  const ends = [];
  return spans.map(([left, right]) => {
    let lane = ends.findIndex((taken) => taken.every(([l, e]) => right + 12 < l || left - 12 > e));
    if (lane < 0) lane = ends.push([]) - 1;
    ends[lane].push([left, right]);
    return lane;
  });
}
