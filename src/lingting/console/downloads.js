// Buttons that save a text as a file; the file is made when it is asked for.

import { files } from "./subtitles.js";

/** Adds a button for each kind; `content()` says the name and what `files` needs, and makes the sound for "wav". */
export function offer(box, kinds, content) {
  for (const kind of kinds) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.addEventListener("click", () => {
      const { name, wav, ...text } = content();
      save(`${name}.${kind}`, kind === "wav" ? wav() : files(text)[kind]());
    });
    box.append(button);
  }
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
