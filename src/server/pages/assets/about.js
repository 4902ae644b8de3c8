"use strict";

/* The examples name the address under which the reader sees this page. */
const base = new URL(".", location.href).href;
for (const place of document.querySelectorAll(".base")) place.textContent = base;

/* A language that is chosen once is chosen for every endpoint. */
for (const choice of document.querySelectorAll(".tabs input")) {
  choice.addEventListener("change", () => {
    for (const other of document.querySelectorAll(`.tabs input[value="${choice.value}"]`)) other.checked = true;
  });
}

for (const code of document.querySelectorAll(".tabs pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  /* Browsers give pages without TLS no clipboard, but for this machine's own. */
  if (navigator.clipboard) code.after(button);
}
