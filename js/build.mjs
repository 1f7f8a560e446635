// Bundles js/src into factlens/static: six self-contained ES modules and one style sheet.
//
//   node build.mjs           write the bundles
//   node build.mjs --fresh   build into a temporary folder and fail when the committed bundles differ
//
// The bundles are committed, so that a clone or a machine without Node works as it is. They must not depend on
// where or when they were built: no source maps, no absolute paths, no dates.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const committed = fileURLToPath(new URL("../factlens/static", import.meta.url));
const names = ["gestures.js", "locate.js", "heatmap.js", "edit.js", "judge.js", "details.js", "factlens.css"];
const limit = 70_000;

async function bundle(outdir) {
  const common = { absWorkingDir: here, bundle: true, minify: true, legalComments: "none", logLevel: "warning" };
  await build({
    ...common,
    entryPoints: {
      gestures: "src/gestures.ts",
      locate: "src/locate/index.ts",
      heatmap: "src/heatmap/index.ts",
      edit: "src/edit/index.ts",
      judge: "src/judge/index.ts",
      details: "src/details/index.ts",
    },
    outdir,
    format: "esm",
    target: "es2022",
    charset: "utf8",
  });
  await build({
    ...common,
    entryPoints: { factlens: "src/factlens.css" },
    outdir,
    target: ["chrome111", "firefox113", "safari16.4"],
  });
  for (const name of names) {
    const size = statSync(join(outdir, name)).size;
    console.log(`${name.padEnd(14)} ${(size / 1000).toFixed(1).padStart(6)} kB`);
    if (size > limit) throw new Error(`${name} is larger than ${limit} bytes: every widget instance carries it`);
  }
}

if (process.argv.includes("--fresh")) {
  const outdir = mkdtempSync(join(tmpdir(), "factlens-static-"));
  try {
    await bundle(outdir);
    const stale = names.filter((name) => {
      try {
        return !readFileSync(join(outdir, name)).equals(readFileSync(join(committed, name)));
      } catch {
        return true; // not there at all
      }
    });
    if (stale.length > 0) {
      console.error(`\nStale in factlens/static: ${stale.join(", ")}`);
      console.error(
        "The committed bundles do not match js/src. Run `npm ci && npm run build` in js/ and commit factlens/static.",
      );
      process.exitCode = 1;
    } else {
      console.log("factlens/static is fresh");
    }
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
} else {
  await bundle(committed);
}
