"use strict";
(() => {
  const LABEL_PX = 12;
  const KEYS = ["task", "split", "class", "domain"];
  const form = document.querySelector(".tools");
  const elements = form.elements;
  const layers = [...form.querySelectorAll('input[name="show"]')];
  const empty = document.querySelector(".empty");
  const cards = [...document.querySelectorAll(".card")].map((element) => ({
    element,
    values: {
      task: [element.dataset.task],
      split: [element.dataset.split],
      domain: [element.dataset.domain],
      class: JSON.parse(element.dataset.class),
    },
    noted: "noted" in element.dataset,
    text: null,
  }));

  const normalise = (text) => text.toLowerCase().replace(/\s+/g, " ").trim();
  const textOf = (card) => (card.text ??= normalise(card.element.textContent + " " + card.element.dataset.id));

  // The tests of one card: it is shown if all hold; an option is counted on the cards for which all others hold.
  const testsOf = (card, wanted) => {
    const tests = KEYS.map((key) => !wanted[key] || card.values[key].includes(wanted[key]));
    tests.push(!wanted.noted || card.noted, !wanted.text || textOf(card).includes(wanted.text));
    return tests;
  };

  const filter = () => {
    const wanted = { noted: elements.noted.checked, text: normalise(elements.text.value) };
    for (const key of KEYS) wanted[key] = elements[key].value;
    const counts = KEYS.map(() => new Map());
    let shown = 0;
    for (const card of cards) {
      const tests = testsOf(card, wanted);
      const failed = tests.filter((passed) => !passed).length;
      card.element.hidden = failed > 0;
      shown += failed === 0;
      KEYS.forEach((key, index) => {
        if (failed > (tests[index] ? 0 : 1)) return;
        for (const value of card.values[key]) counts[index].set(value, (counts[index].get(value) ?? 0) + 1);
      });
    }
    KEYS.forEach((key, index) => {
      for (const option of elements[key].options) {
        if (option.value) option.textContent = `${option.value} (${counts[index].get(option.value) ?? 0})`;
      }
    });
    elements.count.value = shown;
    empty.hidden = shown > 0;
  };

  const draw = () => {
    for (const layer of layers) document.body.classList.toggle(`hide-${layer.value}`, !layer.checked);
  };

  // The state stands in the address, so that a link shows the same. What was written is not read back: the event of
  // it comes late, and would undo a change that was made since.
  let known = "";
  const write = () => {
    const state = new URLSearchParams();
    for (const key of [...KEYS, "text"]) if (elements[key].value) state.set(key, elements[key].value);
    if (elements.noted.checked) state.set("noted", "1");
    const hidden = layers.filter((layer) => !layer.checked).map((layer) => layer.value);
    if (hidden.length) state.set("hide", hidden.join(" "));
    location.replace("#" + state);
    known = location.hash;
  };

  const read = () => {
    known = location.hash;
    const state = new URLSearchParams(location.hash.slice(1));
    for (const key of KEYS) {
      const value = state.get(key) ?? "";
      elements[key].value = [...elements[key].options].some((option) => option.value === value) ? value : "";
    }
    elements.text.value = state.get("text") ?? "";
    elements.noted.checked = state.has("noted");
    const hidden = (state.get("hide") ?? "").split(" ");
    for (const layer of layers) layer.checked = !hidden.includes(layer.value);
    filter();
    draw();
  };

  let pause = 0;
  const changed = () => {
    filter();
    draw();
    write();
  };
  form.addEventListener("input", (event) => {
    clearTimeout(pause);
    pause = setTimeout(changed, event.target === elements.text ? 150 : 0);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(changed, 0));
  addEventListener("hashchange", () => {
    if (location.hash !== known) read();
  });

  // Labels keep their size on the screen, whatever the size of the image.
  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const svg = entry.target.querySelector("svg");
      const width = entry.contentRect.width;
      if (width) svg.setAttribute("font-size", (LABEL_PX * svg.viewBox.baseVal.width) / width);
    }
  });
  const frames = document.querySelectorAll(".frame");
  frames.forEach((frame) => sizes.observe(frame));

  // In a page of one file each image is held once, and given to the cards that are near.
  const store = document.getElementById("pixels");
  if (store) {
    const pixels = JSON.parse(store.textContent);
    const near = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          near.unobserve(target);
          // A new element: Chromium sometimes never lays out one that was on the page before it had a source.
          const image = target.cloneNode();
          image.src = pixels[target.dataset.pixels];
          target.replaceWith(image);
        }
      },
      { rootMargin: "800px" },
    );
    document.querySelectorAll("img[data-pixels]").forEach((image) => near.observe(image));
  }

  const dialog = document.getElementById("large");
  const place = dialog.querySelector(".place");
  const enlarge = (frame) => {
    const copy = document.createElement("div");
    copy.className = frame.className;
    copy.append(...[...frame.childNodes].map((node) => node.cloneNode(true)));
    const size = copy.querySelector("svg").viewBox.baseVal;
    const scale = Math.min((0.92 * innerWidth) / size.width, (0.8 * innerHeight) / size.height);
    copy.style.width = `${size.width * scale}px`;
    place.replaceChildren(copy);
    dialog.showModal();
    sizes.observe(copy);
  };
  frames.forEach((frame) => frame.addEventListener("click", () => enlarge(frame)));
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => place.replaceChildren());

  read();
})();
