// Which colours the page has now, and when they change.
//
// The style sheet takes them from JupyterLab, then VS Code, then from what lies around the widget (marimo, a page of
// one's own), then the system. A canvas cannot follow a style sheet, so the heatmap reads the resolved colours here and
// paints again when the theme changes.

export type Rgb = readonly [number, number, number];

export interface Theme {
  dark: boolean;
  background: Rgb;
  foreground: Rgb;
}

/** Reads "rgb(1, 2, 3)", "rgba(…)" and "color(srgb 0.1 0.2 0.3)", the forms browsers resolve colours to. */
export function parseColour(css: string): { rgb: Rgb; alpha: number } | null {
  const numbers = css.match(/-?[\d.]+(?:e-?\d+)?/g)?.map(Number);
  if (!numbers || numbers.length < 3) return null;
  const [r = 0, g = 0, b = 0, alpha = 1] = numbers;
  if (css.startsWith("rgb")) return { rgb: [r, g, b], alpha };
  if (css.startsWith("color(srgb")) return { rgb: [r * 255, g * 255, b * 255], alpha };
  return null;
}

/** Relative luminance as WCAG defines it. */
export function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((channel) => {
    const value = channel / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** WCAG's contrast, 1 to 21. */
export function contrast(a: Rgb, b: Rgb): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

/** The colours that the widget stands on and would inherit; null where none was painted, or it could not be read. */
function surroundings(root: HTMLElement): { background: string; foreground: string } | null {
  const above = (node: Element) => {
    const around = node.parentNode;
    return around instanceof ShadowRoot ? around.host : node.parentElement;
  };
  const around = above(root);
  for (let node = around; around && node; node = above(node)) {
    const background = getComputedStyle(node).backgroundColor;
    const painted = parseColour(background);
    if (!painted || painted.alpha <= 0.5) continue;
    const foreground = getComputedStyle(around).color;
    const written = parseColour(foreground);
    return written && contrast(painted.rgb, written.rgb) >= 4.5 ? { background, foreground } : null;
  }
  return null;
}

/** Resolves the theme at `root` and marks the root with it, for the rules of the style sheet that differ. */
export function readTheme(root: HTMLElement): Theme {
  const around = surroundings(root);
  root.style.setProperty("--fl-host-bg", around?.background ?? null);
  root.style.setProperty("--fl-host-fg", around?.foreground ?? null);
  // Without the mark, system colours resolve for the user's scheme instead of the one marked before.
  delete root.dataset.theme;
  const style = getComputedStyle(root);
  const background = parseColour(style.backgroundColor);
  const solid: Rgb = background && background.alpha > 0.5 ? background.rgb : [255, 255, 255];
  const dark = luminance(solid) < 0.25;
  const foreground = parseColour(style.color)?.rgb ?? (dark ? [255, 255, 255] : [0, 0, 0]);
  root.dataset.theme = dark ? "dark" : "light";
  return { dark, background: solid, foreground };
}

/** Keeps `root` marked with the page's theme, and calls back after every change, until `signal` aborts. */
export function followTheme(root: HTMLElement, callback: (theme: Theme) => void, signal: AbortSignal): void {
  let before = "";
  const update = () => {
    if (signal.aborted) return;
    const theme = readTheme(root);
    const seen = JSON.stringify(theme);
    if (seen === before) return;
    before = seen;
    callback(theme);
  };
  let later: ReturnType<typeof setTimeout> | undefined;
  const observer = new MutationObserver(() => {
    update();
    // A theme's style sheet may be applied a little after the attribute that announces it.
    clearTimeout(later);
    later = setTimeout(update, 200);
  });
  const attributeFilter = ["class", "style", "theme", "data-theme", "data-jp-theme-light", "data-jp-theme-name"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  observer.observe(document.documentElement, { attributes: true, attributeFilter });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", update, { signal });
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  // The element may not be in the page yet: its colours are known once it is.
  requestAnimationFrame(update);
  update();
}
