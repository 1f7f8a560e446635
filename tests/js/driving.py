"""What tests do with a widget on a page: show it, change its traits, point at its cells, hear its gestures."""

from __future__ import annotations


def put(page, name, at="a", **traits):
    """Renders widget ``name`` into ``#at``; JavaScript values come as strings that begin with ``js:``."""
    page.evaluate(
        """async ([name, at, traits]) => {
            const read = (v) => (typeof v === 'string' && v.startsWith('js:') ? eval(`(${v.slice(3)})`) : v);
            await put(name, at, Object.fromEntries(Object.entries(traits).map(([k, v]) => [k, read(v)])));
            await frames();
        }""",
        [name, at, {"lens": "lens-1", **traits}],
    )


def change(page, at, **traits):
    page.evaluate(
        """async ([at, traits]) => {
            const read = (v) => (typeof v === 'string' && v.startsWith('js:') ? eval(`(${v.slice(3)})`) : v);
            for (const [k, v] of Object.entries(traits)) models[at].put(k, read(v));
            await frames();
        }""",
        [at, traits],
    )


def heatmap(page, frame="fakeFrame()", at="a", selection=None, busy=False, lens="lens-1"):
    put(page, "heatmap", at, frame=f"js:{frame}", selection=selection, busy=busy, lens=lens)


def record_gestures(page):
    page.evaluate(
        "() => { window.gestures = []; document.addEventListener('factlens:gesture', (e) => gestures.push(e.detail)); }"
    )


def point(page, kind, token, layer):
    """The middle of a cell on the page, found as docs say: from the canvas's own attributes."""
    return page.locator(f"[data-kind='{kind}'] canvas").evaluate(
        """(canvas, [token, layer]) => {
            const d = canvas.dataset, box = canvas.getBoundingClientRect();
            return [box.left + Number(d.cellLeft) + (layer + 0.5) * Number(d.cellWidth),
                    box.top + Number(d.cellTop) + (token + 0.5) * Number(d.cellHeight)];
        }""",
        [token, layer],
    )


def pixels(page, kind, token, layer):
    """The distinct colours inside a cell, edges left out."""
    return page.locator(f"[data-kind='{kind}'] canvas").evaluate(
        """(canvas, [token, layer]) => {
            const d = canvas.dataset, r = canvas.width / canvas.getBoundingClientRect().width;
            const w = Number(d.cellWidth) * r, h = Number(d.cellHeight) * r;
            const copy = Object.assign(document.createElement('canvas'), {width: w - 5, height: h - 5});
            const pen = copy.getContext('2d', {willReadFrequently: true});
            const left = Number(d.cellLeft) * r + layer * w, top = Number(d.cellTop) * r + token * h;
            pen.drawImage(canvas, -Math.round(left + 2), -Math.round(top + 2));
            const data = pen.getImageData(0, 0, copy.width, copy.height).data;
            const seen = new Set();
            for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
            return [...seen];
        }""",
        [token, layer],
    )


def sent(page):
    return [(g["name"], {k: v for k, v in g.items() if k not in ("name", "lens")}) for g in page.evaluate("gestures")]


def drag(page, start, end, steps=5):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=steps)
    page.mouse.up()
