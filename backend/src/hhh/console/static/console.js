// What HTML can't do: local times, live progress, dialogs, copying. Every page works without it, but for those.

const UNITS = ["kB", "MB", "GB", "TB", "PB"];
const CHECK_MS = 30_000;
const ANSWER_MS = 15_000;

function bytes(count) {
  if (count < 1000) return `${count} byte${count === 1 ? "" : "s"}`;
  let unit = -1;
  do {
    count /= 1000;
    unit += 1;
  } while (Number(count.toFixed(1)) >= 1000 && unit < UNITS.length - 1);
  return `${Number(count.toFixed(1)) < 100 ? count.toFixed(1) : count.toFixed(0)} ${UNITS[unit]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// Times in the zone of whoever reads; what the server wrote, in UTC, is in the title.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
function tellTimes(within) {
  for (const time of within.querySelectorAll("time[datetime]:not(.ago)")) {
    time.textContent = (time.matches(".exact") ? exact : local).format(new Date(time.dateTime));
  }
}

function openDialogs(event) {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
}

async function copy(event) {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copies);
  const label = button.dataset.label ?? (button.dataset.label = button.textContent);
  try {
    await navigator.clipboard.writeText(source.value ?? source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // a page that is not on HTTPS may not copy by itself
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => (button.textContent = label), 3000);
}

// A button waits until what is typed beside it is the name that it asks for.
function guard(input) {
  const button = input.form.querySelector("button:not([type=button])");
  const check = () => (button.disabled = input.value !== input.dataset.mustEqual);
  input.addEventListener("input", check);
  check();
}

// A form is sent once, however often its button is pressed; but for those that a file is the answer to.
function sendOnce(event) {
  if ("repeats" in event.target.dataset) return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
}

// What a form would come to is shown while it is filled in, as its button `show` does without a script.
function preview(box) {
  const form = box.closest("form");
  let waiting;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    const mine = (waiting = setTimeout(async () => {
      const body = new URLSearchParams([...new FormData(form), ["show", "1"]]);
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "text/html" } }).catch(() => null);
      const page = new DOMParser().parseFromString((await answer?.text()) ?? "", "text/html");
      const fresh = page.querySelector("[data-preview]");
      if (!fresh || mine !== waiting) return;
      tellTimes(fresh);
      box.replaceChildren(...fresh.childNodes);
    }, 400));
  });
}

// A page that can't be asked for again is marked, so that nobody believes what it says.
let unanswered = null;
function tellAway(isAway, patience = 0) {
  const banner = document.querySelector("[data-offline]");
  unanswered = isAway ? (unanswered ?? new Date()) : null;
  banner.hidden = !isAway || (banner.hidden && new Date() - unanswered < patience);
  banner.querySelector("span").textContent = isAway ? local.format(unanswered) : "";
  document.body.classList.toggle("stale", !banner.hidden);
}

function follow(box) {
  const part = (name) => box.querySelector(`[data-${name}]`);
  const source = new EventSource(box.dataset.follow);
  const show = (event) => {
    const news = JSON.parse(event.data);
    const { progress } = news;
    if (event.type === "state" && news.status !== box.dataset.status) {
      const pill = part("status").querySelector(".state"); // its picture stays: both states of a job on its way are blue
      pill.lastChild.textContent = news.cancel_requested ? "stopping" : news.status;
      part("announce").textContent = news.status;
      box.dataset.status = news.status;
    }
    part("stage").textContent = news.retry ? `waits for attempt ${news.retry.attempt}: ${news.retry.error}` : (progress?.doing ?? "");
    if (!progress) return;
    const bar = box.querySelector("progress");
    if (progress.percent === null) bar.removeAttribute("value");
    else bar.value = progress.percent;
    const of = progress.expected_bytes ? ` of about ${bytes(progress.expected_bytes)}` : "";
    part("bytes").textContent = bytes(progress.raw_bytes) + of;
    part("rate").textContent = progress.bytes_per_second === null ? "" : `${bytes(progress.bytes_per_second)}/s`;
    part("left").textContent = progress.seconds_left === null ? "" : `${duration(progress.seconds_left)} left`;
  };
  source.addEventListener("state", show);
  source.addEventListener("progress", show);
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("open", () => tellAway(false));
  source.addEventListener("error", async () => {
    tellAway(true, ANSWER_MS);
    if (source.readyState !== EventSource.CLOSED) return;
    // The access token ran out: the session is carried on, or it has ended and the page leads to the sign-in.
    const answer = await fetch("/session", { redirect: "manual" }).catch(() => null);
    if (answer?.status === 204) setTimeout(follow, 1000, box);
    else if (answer && answer.status < 500) location.reload();
    else setTimeout(follow, 3000, box);
  });
}

// What was opened, and where somebody was, stays so.
function renew(part, fresh) {
  if (part.querySelector("dialog[open], input:focus, textarea:focus, select:focus")) return;
  const reachable = (within) => [...within.querySelectorAll("a, button, summary, [tabindex]")];
  const place = reachable(part).indexOf(document.activeElement);
  for (const open of part.querySelectorAll("details[id][open]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  tellTimes(fresh);
  part.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((box, index) => (box.scrollLeft = scrolled[index] ?? 0));
  reachable(fresh)[place]?.focus({ preventScroll: true });
}

// What is told of now is asked for again.
async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) throw new Error(answer.statusText);
    if (answer.redirected) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelectorAll("[data-live]");
    document.querySelectorAll("[data-live]").forEach((part, index) => {
      if (fresh[index]) renew(part, fresh[index]);
    });
    tellAway(false);
  } catch {
    tellAway(true);
  }
}

// What was done is told once: not after a reload, nor to whom the address is sent.
const here = new URL(location.href);
if (here.searchParams.has("done")) {
  here.searchParams.delete("done");
  history.replaceState(null, "", here);
}

// Days, and times that are typed, are told in this zone by the server as well.
document.cookie = `hhh_zone=${new Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; samesite=lax`;

tellTimes(document);
document.addEventListener("click", openDialogs);
document.addEventListener("click", copy);
document.addEventListener("submit", sendOnce);
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.querySelectorAll("[data-must-equal]").forEach(guard);
document.querySelectorAll("[data-follow]").forEach(follow);
document.querySelectorAll("[data-preview]").forEach(preview);
if (document.querySelector("[data-live]")) {
  setInterval(refresh, CHECK_MS);
  document.addEventListener("visibilitychange", refresh);
}
