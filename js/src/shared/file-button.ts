// A button that takes a file from the user and hands its bytes on; nothing is read in the page.
import { element, onClick } from "./dom";

export function fileButton(
  name: string,
  testid: string,
  take: (bytes: ArrayBuffer) => void,
  signal: AbortSignal,
): { button: HTMLButtonElement; input: HTMLInputElement } {
  const button = element("button", { testid }, name);
  const input = element("input", {
    type: "file",
    accept: ".safetensors",
    hidden: true,
    testid: `${testid}-file`,
  });
  onClick(button, () => input.click(), signal);
  input.addEventListener(
    "change",
    async () => {
      const chosen = input.files?.[0];
      input.value = ""; // so that the same file can be chosen again
      if (chosen) take(await chosen.arrayBuffer());
    },
    { signal },
  );
  return { button, input };
}
