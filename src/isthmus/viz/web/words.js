// Numbers and states as people read them. What is not known is a dash, never a zero.

export const DASH = "–";

export const rps = (n) => n.rps === undefined ? DASH : `${brief(n.rps)}/s`;
export const flow = (n) => n.rps !== undefined ? rps(n) : n.conns ? `${n.conns} open` : DASH;
export const share = (n) => {
  if (n.success === undefined) return DASH;
  const percent = Math.floor(n.success * 10000) / 100;
  return `${percent === 100 || percent === 0 ? percent : percent.toFixed(percent > 99 ? 2 : 1)}%`;
};
export const ms = (value) => {
  if (value === undefined || value === null) return DASH;
  return value >= 1000 ? `${(value / 1000).toFixed(1)}\u00a0s` : value < 10 ? `${value.toFixed(1)}\u00a0ms` : `${Math.round(value)}\u00a0ms`;
};
export const bytes = (value) => {
  if (value === undefined) return DASH;
  const units = ["B/s", "KB/s", "MB/s", "GB/s"];
  let index = 0;
  for (; value >= 1000 && index < units.length - 1; index++) value /= 1000;
  return `${brief(value)} ${units[index]}`;
};

export function brief(value) {
  if (value === 0) return "0";
  if (value >= 100) return String(Math.round(value));
  return value >= 10 ? value.toFixed(1) : value.toFixed(value < 1 ? 2 : 1);
}

export function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 90) return `${Math.max(0, Math.round(size))} s`;
  if (size < 5400) return `${Math.round(size / 60)} min`;
  if (size < 172800) return `${Math.round(size / 3600)} h`;
  return `${Math.round(size / 86400)} days`;
}

export function until(seconds, now) {
  if (!seconds) return "not known";
  const left = seconds - now;
  return left < 0 ? `expired ${duration(left)} ago` : `in ${duration(left)}`;
}

export const at = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
export const parsed = (text) => (text ? Date.parse(text) / 1000 : 0);

// Numbers as a cluster's own answer has them, where what is not known is null.
export const short = (n) => Object.fromEntries([
  ["rps", n.rps], ["success", n.success], ["p50", n.latency_ms_p50], ["p95", n.latency_ms_p95], ["p99", n.latency_ms_p99],
  ["conns", n.tcp_open_connections], ["read", n.tcp_read_bytes_rate], ["written", n.tcp_write_bytes_rate],
].map(([name, value]) => [name, value ?? undefined]));

// How well requests go, as a word: the colour, the sign and the sentence all follow from it.
export function health(n) {
  if (n.success === undefined) return n.conns || n.read ? "busy" : "quiet";
  return n.success >= 0.99 ? "good" : n.success >= 0.95 ? "weak" : "bad";
}
export const HEALTH = {
  good: { sign: "", words: "answers well" },
  weak: { sign: "▲", words: "some requests fail" },
  bad: { sign: "✖", words: "many requests fail" },
  busy: { sign: "", words: "bytes flow" },
  quiet: { sign: "", words: "no requests now" },
};

export const STATES = {
  connecting: "Connecting",
  live: "Live",
  unreachable: "Does not answer",
  forbidden: "Not shared",
  absent: "No viz extension",
  unreadable: "Unreadable",
  unlinked: "Not linked from here",
};

const SHORT = {
  deployment: "deploy", statefulset: "sts", daemonset: "ds", replicaset: "rs", replicationcontroller: "rc",
  cronjob: "cj", serviceaccount: "account", service: "svc",
};
export const kind = (name) => SHORT[name] ?? name;

export function plainReason(reason) {
  const words = {
    not_provided_by_service_discovery: "the server has no proxy",
    no_tls_from_remote: "the client has no proxy",
  };
  return words[reason] ?? reason;
}

// `default/backend:8080` as `backend:8080`, where its namespace says nothing new.
export const service = (name, namespace) => (name.startsWith(`${namespace}/`) ? name.slice(namespace.length + 1) : name);

export const briefly = (n) => `${HEALTH[health(n)].sign} ${share(n)} · ${rps(n)}`.trim();
export const brieflyAll = (n) => `${briefly(n)} · p99\u00a0${ms(n.p99)}`;

// Numbers of two rows as one: what flows is added up, of latencies the worst is told.
export function sum(a, b) {
  if (!a) return { ...b };
  const made = { ...a };
  for (const key of ["conns", "read", "written"]) if (b[key] !== undefined) made[key] = (a[key] ?? 0) + b[key];
  if (b.rps !== undefined) {
    const [mine, theirs] = [a.rps ?? 0, b.rps];
    made.rps = mine + theirs;
    made.success = ((a.success ?? 0) * mine + (b.success ?? 0) * theirs) / (made.rps || 1);
  }
  for (const key of ["p50", "p95", "p99"]) if (b[key] !== undefined) made[key] = Math.max(a[key] ?? 0, b[key]);
  return made;
}
