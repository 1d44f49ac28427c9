// What a page does beyond being read: live charts, sorted tables, copied commands, contents that follow.
// Each part stands alone, and a page without scripts lacks nothing but these.
"use strict";

// Contents that follow: the link of the section at the top of the window is the current one.
{
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const sections = [...document.querySelectorAll("section[id], article[id]")].filter((s) => links.has(s.id));
  let marked = null;
  const follow = () => {
    const passed = sections.filter((s) => s.getBoundingClientRect().top < innerHeight / 3);
    const end = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const here = links.get((end && scrollY > 0 ? sections.at(-1) : passed.at(-1))?.id);
    if (here === marked) return;
    marked?.removeAttribute("aria-current");
    marked = here;
    if (!here) return;
    here.setAttribute("aria-current", "true");
    const list = here.closest("ul");
    list.scrollTo({ left: here.offsetLeft - list.clientWidth / 3 });
  };
  addEventListener("scroll", follow, { passive: true });
  addEventListener("resize", follow, { passive: true });
  follow();
}

// Tables whose heads are buttons: one press sorts downwards, the next upwards; empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const number = (words) => {
    const found = /-?\d[\d,]*\.?\d*(e[-+]?\d+)?/i.exec(words.replaceAll("−", "-"));
    return found ? Number(found[0].replaceAll(",", "")) : NaN;
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const words = (row) => row.cells[column].textContent.trim();
      const numeric = head.classList.contains("number");
      const sign = up ? 1 : -1;
      const order = (a, b) => {
        const [x, y] = [words(a), words(b)];
        if (!numeric) return sign * x.localeCompare(y, undefined, { numeric: true });
        const [p, q] = [number(x), number(y)];
        return Number.isNaN(p) || Number.isNaN(q) ? Number.isNaN(p) - Number.isNaN(q) : sign * (p - q);
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}

// Commands with a button that copies them.
for (const block of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const command = block.querySelector("code");
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      // A page in an origin of its own may not write to the clipboard, but may copy what is selected.
      getSelection().selectAllChildren(command);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}

// On paper nothing is folded.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});

// Live charts take the place of drawings when a reader comes near them.
{
  const unpacked = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  const ready = async () => {
    const [library, specs] = await Promise.all([unpacked("library"), unpacked("specs")]);
    const script = document.createElement("script");
    script.textContent = library;
    document.head.append(script);
    return JSON.parse(specs);
  };
  let loading = null;

  // Room beside a panel for its axis; a narrower panel than the least cannot be read, nor one that has shrunk
  // by more than this share. Charts that are drawn in pixels stay as they are.
  const BESIDE = 70, LEAST = 210, SHRUNK = 0.7;
  // A single chart grows by half, and by the room for the names beside it, which its fitted width includes.
  const GROWN = 1.5, NAMES = 170;
  // The common x title stands below the last panel of each column.
  const titled = (panels, columns) => {
    const layers = (panel) => (panel.layer ?? [panel]).map((one) => one.encoding?.x).filter(Boolean);
    const told = panels.map((panel) => layers(panel)[0]?.title);
    const last = told.at(-1);
    if (!last || told.some((title) => title && title !== last)) return;
    panels.forEach((panel, place) => {
      for (const x of layers(panel)) x.title = place < panels.length - columns ? null : last;
    });
  };
  const fitted = (spec, room) => {
    if (spec.usermeta?.fixed) return spec;
    if (spec.facet || spec.concat) {
      const panels = spec.facet ? [spec.spec] : spec.concat;
      const wide = Math.max(...panels.map((panel) => (typeof panel.width === "number" ? panel.width : LEAST)));
      const most = spec.concat ? Math.min(spec.columns ?? Infinity, panels.length) : (spec.columns ?? 1);
      const columns = Math.max(1, Math.min(most, Math.floor((room + 10) / (Math.max(LEAST, SHRUNK * wide) + BESIDE))));
      const each = Math.max(LEAST * 0.8, Math.floor(room / columns) - BESIDE);
      for (const panel of panels) {
        if (typeof panel.width !== "number") continue;
        const width = Math.min(Math.round(wide * 1.35), each);
        if (panel.height === panel.width) panel.height = width;
        panel.width = width;
      }
      if (columns !== spec.columns && spec.concat) titled(spec.concat, columns);
      spec.columns = columns;
    } else if (typeof spec.width === "number") {
      spec.width = Math.max(spec.usermeta?.least ?? LEAST, Math.min(room - 4, Math.round(spec.width * GROWN) + NAMES));
      spec.autosize = { type: "fit-x", contains: "padding" };
    }
    return spec;
  };

  // Panels whose names take more than the room beside them would be drawn smaller as a whole, words and all.
  const narrowed = (spec, over) => {
    const panels = spec.facet ? [spec.spec] : (spec.concat ?? []);
    for (const panel of panels.filter((one) => typeof one.width === "number")) {
      const width = Math.max(LEAST * 0.8, panel.width - Math.ceil(over / (spec.columns ?? 1)));
      if (panel.height === panel.width) panel.height = width;
      panel.width = width;
    }
    return panels.length > 0;
  };

  const draw = async (figure) => {
    try {
      const spec = (await (loading ??= ready()))[Number(figure.dataset.spec)];
      const live = document.createElement("div");
      const room = figure.clientWidth;
      const shown = fitted(structuredClone(spec), room);
      const embed = () => vegaEmbed(live, structuredClone(shown), { ast: true, actions: false, renderer: "svg" });
      await embed();
      const over = Number(live.querySelector("svg").getAttribute("width")) - room;
      if (over > 0 && !spec.usermeta?.fixed && narrowed(shown, over)) await embed();
      // What cannot be read any narrower is scrolled.
      if (spec.usermeta?.least) live.querySelector("svg").style.maxWidth = "none";
      const drawing = figure.querySelector(".drawing");
      drawing.setAttribute("role", "group");
      drawing.replaceChildren(live);
      // The drawing has one description; its marks are not read one by one.
      for (const svg of live.querySelectorAll("svg")) svg.setAttribute("aria-hidden", "true");
      figure.dataset.live = room;
    } catch (error) {
      console.error(error);
    }
  };
  const figures = document.querySelectorAll("figure[data-spec]");
  if (figures.length && typeof DecompressionStream === "function") {
    const near = new IntersectionObserver(
      (seen) => {
        for (const one of seen.filter((entry) => entry.isIntersecting)) {
          near.unobserve(one.target);
          draw(one.target);
        }
      },
      { rootMargin: "600px" },
    );
    for (const figure of figures) near.observe(figure);
    let waiting = 0;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        for (const figure of figures) {
          if (figure.dataset.live && figure.clientWidth !== Number(figure.dataset.live)) draw(figure);
        }
      }, 200);
    });
  }
}
