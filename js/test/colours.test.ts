import { describe, expect, test } from "vitest";
import { css, type PaletteName, rampFor } from "../src/heatmap/palettes";
import { luminance, parseColour, type Theme } from "../src/shared/theme";

const themes: Record<string, Theme> = {
  light: { dark: false, background: [255, 255, 255], foreground: [33, 33, 33] },
  dark: { dark: true, background: [17, 17, 17], foreground: [255, 255, 255] },
};

test("reads the colours that browsers resolve to", () => {
  expect(parseColour("rgb(17, 18, 19)")).toEqual({ rgb: [17, 18, 19], alpha: 1 });
  expect(parseColour("rgba(0, 0, 0, 0)")).toEqual({ rgb: [0, 0, 0], alpha: 0 });
  expect(parseColour("color(srgb 1 0.5 0)")).toEqual({ rgb: [255, 127.5, 0], alpha: 1 });
  expect(parseColour("transparent")).toBeNull();
});

describe.each(Object.entries(themes))("%s theme", (_, theme) => {
  const palettes: [PaletteName, string][] = [
    ["rome", "state"],
    ["rome", "mlp"],
    ["rome", "attn"],
    ["safe", "mlp"],
  ];
  test.each(palettes)("%s %s fades into the page and never turns back in lightness", (palette, kind) => {
    const ramp = rampFor(kind, palette, theme);
    expect(ramp(0)).toEqual(theme.background);
    expect(ramp(-1)).toEqual(ramp(0));
    expect(ramp(2)).toEqual(ramp(1));
    const light = Array.from({ length: 41 }, (_, i) => luminance(ramp(i / 40)));
    for (let i = 1; i < light.length; i += 1) {
      const step = (light[i] as number) - (light[i - 1] as number);
      if (theme.dark) expect(step).toBeGreaterThan(0);
      else expect(step).toBeLessThan(0);
    }
  });

  test("the safe palette is one ramp for all kinds, the other has one for each", () => {
    const ends = (palette: PaletteName) =>
      new Set(["state", "mlp", "attn"].map((kind) => css(rampFor(kind, palette, theme)(0.7))));
    expect(ends("safe").size).toBe(1);
    expect(ends("rome").size).toBe(3);
  });
});
